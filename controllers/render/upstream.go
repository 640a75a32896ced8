package render

// UpstreamControllerLabels are on what upstream's charts run their controller with: its
// Deployment and the webhooks of the custom resources (templates/controller of the charts).
func UpstreamControllerLabels() map[string]string {
	return map[string]string{labelPartOf: partOfKubewarden, labelComponent: "controller"}
}

// UpstreamLabels are on every webhook configuration that upstream's controller or charts made.
func UpstreamLabels() map[string]string {
	return map[string]string{labelPartOf: partOfKubewarden}
}
