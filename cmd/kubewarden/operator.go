package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kubewarden/kubewarden-operator/controllers"
)

// operatorCommand runs the operator until it is told to stop.
func operatorCommand() *cobra.Command {
	config := controllers.Config{Registry: metrics.Registry, Now: time.Now}
	var logLevel, pod string
	command := &cobra.Command{
		Use:   "operator",
		Short: "Run the operator: reconcile Kubewarden, PolicyServers and policies",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			config.Logger = operatorLogger(logLevel)
			ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return runOperator(ctx, config, pod)
		},
	}
	flags := command.Flags()
	flags.StringVar(&config.MetricsAddress, "metrics-bind-address", ":8080", "address of the Prometheus endpoint, 0 for none")
	flags.StringVar(&config.ProbeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz, 0 for none")
	flags.StringVar(&config.WebhookCertificateFolder, "webhook-cert-dir", "/tmp/k8s-webhook-server/serving-certs",
		"folder of the certificate with which the API server is answered about policies and policy servers; where there is none, the operator makes its own")
	flags.IntVar(&config.WebhookPort, "webhook-server-port", 9443, "port on which the API server asks")
	flags.BoolVar(&config.LeaderElection, "leader-elect", true, "let only one of several operators work")
	flags.StringVar(&config.Render.Namespace, "namespace", "", "the operator's own namespace")
	flags.StringVar(&config.Render.ServiceAccount, "service-account", "", "the operator's own ServiceAccount in that namespace")
	flags.StringVar(&config.Render.Image, "image", "", "image of policy servers that name none; left out, the operator's own")
	flags.StringVar(&pod, "pod", "", "the operator's own Pod in that namespace, whose image policy servers run too")
	flags.StringSliceVar(&config.Render.ImagePullSecrets, "image-pull-secrets", nil, "Secrets with which nodes pull that image")
	flags.Var(choice(&logLevel, "info", "debug", "warn", "error"), "log-level", "least severe lines to log")
	bindEnv(command, map[string]string{
		"namespace":       "POD_NAMESPACE",
		"service-account": "POD_SERVICE_ACCOUNT",
		"pod":             "POD_NAME",
		"image":           "OPERATOR_IMAGE",
	})
	return command
}

func runOperator(ctx context.Context, config controllers.Config, pod string) error {
	ctrl.SetLogger(config.Logger)
	klog.SetLogger(config.Logger)
	restConfig, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	restConfig.UserAgent = "kubewarden-operator/" + version
	if config.Render.Image == "" && pod != "" {
		own := types.NamespacedName{Namespace: config.Render.Namespace, Name: pod}
		if config.Render.Image, err = controllers.OwnImage(ctx, restConfig, own); err != nil {
			return err
		}
	}
	manager, err := controllers.NewManager(ctx, restConfig, config)
	if err != nil {
		return err
	}
	config.Logger.Info("Starting the operator", "version", version,
		"namespace", config.Render.Namespace, "image", config.Render.Image)
	return manager.Start(ctx)
}

func operatorLogger(level string) logr.Logger {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		least = slog.LevelInfo
	}
	return logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: least}))
}
