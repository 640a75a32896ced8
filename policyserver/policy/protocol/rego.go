package protocol

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// AppendOPAInput appends the input of a policy of mode "opa": {"request":...}. Its settings
// are its data.
func AppendOPAInput(to []byte, request json.RawMessage) []byte {
	to = append(to, `{"request":`...)
	to = append(to, request...)
	return append(to, '}')
}

// AppendGatekeeperInput appends the input of a policy of mode "gatekeeper":
// {"parameters":...,"review":...}, with the settings as parameters.
func AppendGatekeeperInput(to []byte, request, settings json.RawMessage) []byte {
	to = append(to, `{"parameters":`...)
	to = append(to, Settings(settings)...)
	to = append(to, `,"review":`...)
	to = append(to, request...)
	return append(to, '}')
}

// OPAData is the data of a policy of mode "opa": its settings, and the objects that it reads,
// a JSON document, in the place of any member "kubernetes"; nil is none.
func OPAData(settings json.RawMessage, objects []byte) ([]byte, error) {
	data := Settings(settings)
	if objects == nil {
		return data, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	delete(members, "kubernetes")
	data, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("write settings: %w", err)
	}
	with := make([]byte, 0, len(data)+len(objects)+len(`,"kubernetes":`))
	with = append(with, data[:len(data)-1]...) // objects may be large: they are not encoded again
	if len(members) > 0 {
		with = append(with, ',')
	}
	with = append(append(with, `"kubernetes":`...), objects...)
	return append(with, '}'), nil
}

// GatekeeperData is the data of a policy of mode "gatekeeper": the objects that it reads, a
// JSON document; nil is none.
func GatekeeperData(objects []byte) []byte {
	if objects == nil {
		return []byte("{}")
	}
	data := make([]byte, 0, len(objects)+len(`{"inventory":}`))
	return append(append(append(data, `{"inventory":`...), objects...), '}')
}

// DecodeOPAResult decodes what a policy of mode "opa" evaluates to. In a result set's first
// result it looks for response, the AdmissionResponse of admission.k8s.io/v1, and is as
// strict with it as DecodeValidationResponse is. A patch must be a JSON patch in base64.
func DecodeOPAResult(document []byte) (ValidationResponse, error) {
	response, err := decodeReview(document)
	if err != nil {
		return ValidationResponse{}, fmt.Errorf("cannot interpret OPA policy result: %w", err)
	}
	return response, nil
}

func decodeReview(document []byte) (ValidationResponse, error) {
	result, err := firstResult(document)
	if err != nil {
		return ValidationResponse{}, err
	}
	var response json.RawMessage
	if err := decodeObject(result, map[string]any{"response": &response}); err != nil {
		return ValidationResponse{}, fmt.Errorf("result: %w", err)
	}
	if isNull(response) {
		return ValidationResponse{}, missing("result.response", "an AdmissionResponse")
	}
	decoded, err := decodeAdmissionResponse(response)
	if err != nil {
		return ValidationResponse{}, fmt.Errorf("result.response: %w", err)
	}
	return decoded, nil
}

func decodeAdmissionResponse(document json.RawMessage) (ValidationResponse, error) {
	var uid, patch, patchType *string
	var allowed *bool
	var status json.RawMessage
	var annotations map[string]*string
	var warnings []*string
	err := decodeObject(document, map[string]any{
		"uid": &uid, "allowed": &allowed, "status": &status, "patch": &patch, "patchType": &patchType,
		"auditAnnotations": &annotations, "warnings": &warnings,
	})
	if err != nil {
		return ValidationResponse{}, err
	}
	if uid == nil {
		return ValidationResponse{}, missing("uid", "a string")
	}
	if allowed == nil {
		return ValidationResponse{}, missing("allowed", "true or false")
	}
	response := ValidationResponse{Accepted: *allowed}
	if response.Status, err = decodeStatus(status); err != nil {
		return ValidationResponse{}, fmt.Errorf("status: %w", err)
	}
	if response.Patch, err = decodePatch(patch, patchType); err != nil {
		return ValidationResponse{}, err
	}
	if response.AuditAnnotations, err = texts("auditAnnotations", annotations); err != nil {
		return ValidationResponse{}, err
	}
	if response.Warnings, err = lines("warnings", warnings); err != nil {
		return ValidationResponse{}, err
	}
	return response, nil
}

// decodePatch checks what an API server would refuse otherwise, and more: a patch that is
// none must deny the request whatever the webhook's failure policy.
func decodePatch(patch, patchType *string) (json.RawMessage, error) {
	if patch == nil {
		return nil, nil
	}
	if patchType == nil || *patchType != "JSONPatch" {
		got := "nothing"
		if patchType != nil {
			got = fmt.Sprintf("%q", *patchType)
		}
		return nil, fmt.Errorf(`patchType: got %s beside a patch, want "JSONPatch"`, got)
	}
	decoded, err := base64.StdEncoding.DecodeString(*patch)
	if err != nil {
		return nil, fmt.Errorf("patch: not in base64: %w", err)
	}
	var operations []map[string]json.RawMessage
	if err := json.Unmarshal(decoded, &operations); err != nil {
		return nil, errors.New("patch: not a JSON patch, which is a list of objects")
	}
	if err := checkDepth(decoded); err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	if len(operations) == 0 {
		return nil, nil // it changes nothing
	}
	return decoded, nil
}

// messageSilentViolation stands where a violation gives no reason at all.
const messageSilentViolation = "the policy found a violation and gave no message"

// DecodeGatekeeperResult decodes what a policy of mode "gatekeeper" evaluates to: a result
// set whose first result is a list of violations. No violation accepts the request, any
// other result refuses it. What is no list of violations is an error: upstream takes it for
// an empty one and lets the request pass.
func DecodeGatekeeperResult(document []byte) (ValidationResponse, error) {
	messages, err := decodeViolations(document)
	if err != nil {
		return ValidationResponse{}, fmt.Errorf("cannot interpret Gatekeeper policy result: %w", err)
	}
	if messages == nil {
		return ValidationResponse{Accepted: true}, nil
	}
	message := strings.Join(messages, ", ")
	if message == "" {
		message = messageSilentViolation
	}
	return ValidationResponse{Message: &message}, nil
}

// decodeViolations are the messages of all violations; nil when there is no violation.
func decodeViolations(document []byte) ([]string, error) {
	result, err := firstResult(document)
	if err != nil {
		return nil, err
	}
	var violations []json.RawMessage
	if err := json.Unmarshal(result, &violations); err != nil || violations == nil {
		return nil, fmt.Errorf("result: got %s, want a list of violations", abridged(result))
	}
	if len(violations) == 0 {
		return nil, nil
	}
	messages := []string{}
	for i, violation := range violations {
		var message *string
		if err := decodeObject(violation, map[string]any{"msg": &message}); err != nil {
			return nil, fmt.Errorf("result[%d]: %w", i, err)
		}
		if message != nil {
			messages = append(messages, *message)
		}
	}
	return messages, nil
}

// firstResult is the member result of the first element of a result set.
func firstResult(document []byte) (json.RawMessage, error) {
	var set []json.RawMessage
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, fmt.Errorf("got %s, want a list of results", abridged(document))
	}
	if len(set) == 0 {
		return nil, errors.New("the policy's entry point is undefined for this request")
	}
	var result json.RawMessage
	if err := decodeObject(set[0], map[string]any{"result": &result}); err != nil {
		return nil, err
	}
	if len(result) == 0 {
		return nil, missing("result", "the value of the policy's entry point")
	}
	return result, nil
}

// abridged is the beginning of a document, for messages.
func abridged(document []byte) string {
	const most = 60
	if len(document) > most {
		return strings.ToValidUTF8(string(document[:most]), "") + "..."
	}
	return strings.ToValidUTF8(string(document), "\uFFFD")
}
