// Package selfmanaged has the operator's own webhooks answered where nobody mounts a
// certificate for them: not OLM, and not cert-manager.
//
//	Secret kubewarden-operator-webhook-ca -> Secret kubewarden-operator-webhook-cert
//	        |                                          |
//	        | caBundle, by the leader                  | by every replica, leader or not
//	        v                                          v
//	ValidatingWebhookConfiguration --- API server ---> controllers/admission
//
// What belongs here: putting the caBundle into the one configuration that is ours, healing
// it, and finding the pair for a TLS handshake.
//
// What never does: making certificates (controllers/certs does), and what is asked and
// answered (controllers/admission).
//
// Where the data goes next: to the API server, which then trusts the operator.
package selfmanaged
