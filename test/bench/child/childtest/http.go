package childtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// Get is the body at a URL; any status but 200 is an error.
func Get(ctx context.Context, url string) ([]byte, error) {
	return exchange(ctx, http.MethodGet, url, nil)
}

// Post is the answer to a document in JSON; any status but 200 is an error.
func Post(ctx context.Context, url string, document []byte) ([]byte, error) {
	return exchange(ctx, http.MethodPost, url, document)
}

func exchange(ctx context.Context, method, url string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %s", url, response.Status, answer)
	}
	return answer, nil
}
