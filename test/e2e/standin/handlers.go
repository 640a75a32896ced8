package main

import (
	"encoding/json"
	"net/http"
)

// review is as much of an AdmissionReview as this server reads and writes.
type review struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Request    *request  `json:"request,omitempty"`
	Response   *response `json:"response,omitempty"`
}

type request struct {
	UID    string `json:"uid"`
	Object struct {
		Metadata struct {
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	} `json:"object"`
}

type response struct {
	UID     string  `json:"uid"`
	Allowed bool    `json:"allowed"`
	Status  *status `json:"status,omitempty"`
}

type status struct {
	Message string `json:"message"`
	Code    int    `json:"code,omitempty"`
}

// newHandler serves the endpoints that API servers and audit scanners call. An audit hears
// what a policy that monitors would have said.
func newHandler(policies map[string]policy) http.Handler {
	mux := http.NewServeMux()
	for path, monitors := range map[string]bool{"/validate/{id}": true, "/audit/{id}": false} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { judge(w, r, policies, monitors) })
	}
	return mux
}

func judge(w http.ResponseWriter, r *http.Request, policies map[string]policy, monitors bool) {
	id := r.PathValue("id")
	policy, found := policies[id]
	if !found {
		answer(w, http.StatusNotFound, map[string]any{"message": "unknown policy: " + id, "status": http.StatusNotFound})
		return
	}
	var asked review
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.Request == nil {
		answer(w, http.StatusBadRequest, map[string]any{"message": "no AdmissionReview", "status": http.StatusBadRequest})
		return
	}
	given := &response{UID: asked.Request.UID}
	var message string
	if given.Allowed, message = policy.verdict(asked.Request.Object.Metadata.Labels); !given.Allowed {
		given.Status = &status{Message: message}
	}
	if monitors && policy.PolicyMode == "monitor" {
		given.Allowed, given.Status = true, nil
	}
	answer(w, http.StatusOK, review{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview", Response: given})
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // whoever has gone reads nothing
}
