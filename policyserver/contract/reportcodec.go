package contract

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
)

const (
	// MaxReportBytes bounds the payload of one report, compressed or not.
	MaxReportBytes = 64 << 10
	// maxReportsBytes bounds all reports of one PolicyServer together; a ConfigMap takes 1 MiB.
	maxReportsBytes = 900 << 10
	// compressAbove is the size of JSON from which a report is compressed.
	compressAbove = 16 << 10
	// maxReportJSON bounds what a compressed report may expand to.
	maxReportJSON = 8 << 20
)

// ReportLimit is the largest payload of one report, in bytes, when up to maxReplicas
// replicas share a ConfigMap. Zero or less means that the number is not known.
func ReportLimit(maxReplicas int) int {
	if maxReplicas <= 0 {
		return MaxReportBytes
	}
	return min(MaxReportBytes, maxReportsBytes/maxReplicas)
}

// EncodeReport writes a report for a ConfigMap: as JSON for its data, or, when that has
// more than 16 KiB, gzipped for its binaryData (compressed is true). Equal reports give
// equal bytes.
//
// A payload of more than limit bytes (0 means MaxReportBytes) is made smaller and marked
// as truncated: first the messages of failures and what cannot be read go, then digests, then failures, then served
// policies, the last IDs first. What is served goes last, since without it no replica can
// be counted as one that enforces a policy.
func EncodeReport(report Report, limit int) (payload []byte, compressed bool, err error) {
	if limit <= 0 {
		limit = MaxReportBytes
	}
	payload, compressed, err = encodeReport(report)
	if err != nil || len(payload) <= limit {
		return payload, compressed, err
	}
	for _, stage := range truncations(report) {
		// The smallest cut that fits; a larger cut never gives a larger payload worth mentioning.
		cut := sort.Search(stage.most, func(cut int) bool {
			payload, _, err := encodeReport(stage.shorten(cut))
			return err != nil || len(payload) <= limit
		})
		payload, compressed, err = encodeReport(stage.shorten(cut))
		if err != nil || len(payload) <= limit {
			return payload, compressed, err
		}
	}
	return nil, false, fmt.Errorf("encode report: %d bytes are too few for a report without any policy", limit)
}

// truncation is one way to make a report smaller, by 0 to most steps.
type truncation struct {
	most    int
	shorten func(cut int) Report
}

func truncations(report Report) []truncation {
	report.Truncated = true
	silent := report
	silent.Failures = make(map[string]Failure, len(report.Failures))
	for id, failure := range report.Failures {
		failure.Message = ""
		silent.Failures[id] = failure
	}
	silent.Unreadable = nil
	unpinned := silent
	unpinned.Digests = nil
	bare := unpinned
	bare.Failures = nil
	return []truncation{
		{most: 0, shorten: func(int) Report { return silent }},
		{most: len(silent.Digests), shorten: func(cut int) Report {
			shorter := silent
			shorter.Digests = withoutLast(silent.Digests, cut)
			return shorter
		}},
		{most: len(unpinned.Failures), shorten: func(cut int) Report {
			shorter := unpinned
			shorter.Failures = withoutLast(unpinned.Failures, cut)
			return shorter
		}},
		{most: len(bare.Policies), shorten: func(cut int) Report {
			shorter := bare
			shorter.Policies = withoutLast(bare.Policies, cut)
			return shorter
		}},
	}
}

func withoutLast[V any](all map[string]V, cut int) map[string]V {
	kept := make(map[string]V, len(all)-cut)
	for _, id := range slices.Sorted(maps.Keys(all))[:len(all)-cut] {
		kept[id] = all[id]
	}
	return kept
}

func encodeReport(report Report) (payload []byte, compressed bool, err error) {
	plain, err := json.Marshal(report)
	if err != nil {
		return nil, false, fmt.Errorf("encode report: %w", err)
	}
	if len(plain) <= compressAbove {
		return plain, false, nil
	}
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer) // without a time stamp: equal reports, equal bytes
	if _, err := writer.Write(plain); err != nil {
		return nil, false, fmt.Errorf("compress report: %w", err)
	}
	if err := writer.Close(); err != nil {
		return nil, false, fmt.Errorf("compress report: %w", err)
	}
	return buffer.Bytes(), true, nil
}

// DecodeReports reads every report of a ConfigMap, by replica. A report that cannot be
// read stands in the second result instead and does no harm to the others.
func DecodeReports(data map[string]string, binaryData map[string][]byte) (map[string]Report, map[string]error) {
	reports, unreadable := map[string]Report{}, map[string]error{}
	add := func(replica string, plain []byte, err error) {
		var report Report
		if err == nil {
			err = json.Unmarshal(plain, &report)
		}
		if err != nil {
			unreadable[replica] = fmt.Errorf("decode report of %s: %w", replica, err)
			return
		}
		reports[replica] = report
	}
	for replica, text := range data {
		add(replica, []byte(text), nil)
	}
	for replica, packed := range binaryData {
		plain, err := decompress(packed)
		add(replica, plain, err)
	}
	return reports, unreadable
}

func decompress(packed []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(reader, maxReportJSON+1))
	if err != nil {
		return nil, err
	}
	if len(plain) > maxReportJSON {
		return nil, errors.New("the report expands to more than 8 MiB")
	}
	return plain, nil
}
