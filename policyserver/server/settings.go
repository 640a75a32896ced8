package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/evaluation"
)

// SettingsChecker checks settings by modules that are loaded; *evaluation.Loader is one.
type SettingsChecker interface {
	CheckSettings(ctx context.Context, check evaluation.SettingsCheck) (contract.SettingsAnswer, error)
}

// Settings has settings checked before anybody is to serve with them.
type Settings struct {
	Checker SettingsChecker
	// IsOperator is nil for a connection of the operator, and otherwise says what is wrong;
	// it is given nil for one without TLS. Nobody else may ask: whoever asks has a guest run
	// over settings of their own.
	IsOperator func(*tls.ConnectionState) error
}

// checkSettings answers the operator's question by the same queue, within the same bounds
// as a request for a verdict. Who is not the operator is sent away before anything is read.
func (h *Handler) checkSettings(writer http.ResponseWriter, request *http.Request, _ endpoint, digest string) ([]byte, error) {
	if err := h.config.Settings.IsOperator(request.TLS); err != nil {
		return nil, &rejection{http.StatusForbidden, "only the operator may have settings checked: " + err.Error(), nil}
	}
	digest, err := contract.ParseDigest(digest)
	if err != nil {
		return nil, &rejection{http.StatusBadRequest, err.Error(), nil}
	}
	var check evaluation.SettingsCheck
	decode := func(body []byte) (err error) {
		check, err = decodeSettings(body, digest)
		return err
	}
	return h.let(writer, request, visit{asked: digest, decode: decode, answer: func(ctx context.Context) ([]byte, error) {
		return h.inTurn(ctx, false, func(ctx context.Context) ([]byte, error) {
			answer, err := h.config.Settings.Checker.CheckSettings(ctx, check)
			if err != nil {
				return nil, h.unanswered(digest, err)
			}
			return json.Marshal(answer)
		})
	}})
}

// decodeSettings reads a contract.SettingsQuestion.
func decodeSettings(body []byte, digest string) (evaluation.SettingsCheck, error) {
	if !json.Valid(body) {
		return evaluation.SettingsCheck{}, &rejection{http.StatusBadRequest, "the body is not JSON", nil}
	}
	var check evaluation.SettingsCheck
	question, err := contract.DecodeSettingsQuestion(body)
	if err == nil {
		check, err = evaluation.NewSettingsCheck(digest, question)
	}
	if err != nil {
		return evaluation.SettingsCheck{}, &rejection{http.StatusUnprocessableEntity, "the body is no question about settings: " + err.Error(), nil}
	}
	return check, nil
}
