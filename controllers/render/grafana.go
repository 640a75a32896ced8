package render

import "strings"

// The part of Grafana's model of dashboards that is used. A board is 24 columns wide.
type (
	grafanaBoard struct {
		UID           string           `json:"uid"`
		Title         string           `json:"title"`
		Tags          []string         `json:"tags"`
		Timezone      string           `json:"timezone"`
		SchemaVersion int              `json:"schemaVersion"`
		Refresh       string           `json:"refresh"`
		Time          grafanaRange     `json:"time"`
		Templating    grafanaVariables `json:"templating"`
		Panels        []grafanaPanel   `json:"panels"`
	}
	grafanaRange struct {
		From string `json:"from"`
		To   string `json:"to"`
	}
	grafanaVariables struct {
		List []grafanaVariable `json:"list"`
	}
	grafanaVariable struct {
		Name       string         `json:"name"`
		Label      string         `json:"label"`
		Type       string         `json:"type"`
		Query      string         `json:"query"`
		Datasource *grafanaSource `json:"datasource,omitempty"`
		IncludeAll bool           `json:"includeAll,omitempty"`
		Multi      bool           `json:"multi,omitempty"`
		AllValue   string         `json:"allValue,omitempty"`
		// Refresh is when the values are looked up: 2 is when the time range changes.
		Refresh int `json:"refresh,omitempty"`
	}
	grafanaSource struct {
		Type string `json:"type"`
		UID  string `json:"uid"`
	}
	grafanaPanel struct {
		ID          int            `json:"id"`
		Title       string         `json:"title"`
		Type        string         `json:"type"`
		Datasource  grafanaSource  `json:"datasource"`
		GridPos     grafanaPlace   `json:"gridPos"`
		FieldConfig grafanaFields  `json:"fieldConfig"`
		Targets     []grafanaQuery `json:"targets"`
	}
	grafanaPlace struct {
		X int `json:"x"`
		Y int `json:"y"`
		W int `json:"w"`
		H int `json:"h"`
	}
	grafanaFields struct {
		Defaults grafanaDefaults `json:"defaults"`
		// Overrides is always there: Grafana expects a list.
		Overrides []string `json:"overrides"`
	}
	grafanaDefaults struct {
		Unit string `json:"unit"`
	}
	grafanaQuery struct {
		RefID        string `json:"refId"`
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
	}
)

// prometheusOfReader is the source of data that the reader has chosen.
var prometheusOfReader = grafanaSource{Type: "prometheus", UID: "${datasource}"}

const (
	boardWidth     = 24
	headlineWidth  = 6
	headlineHeight = 4
	panelWidth     = 12
	panelHeight    = 8
)

// board is the whole dashboard.
func (in MonitoringInput) board() grafanaBoard {
	board := grafanaBoard{
		UID: dashboardUID, Title: "Kubewarden", Tags: []string{"kubewarden"}, Timezone: "browser",
		SchemaVersion: dashboardSchema, Refresh: "1m", Time: grafanaRange{From: "now-6h", To: "now"},
		Templating: grafanaVariables{List: []grafanaVariable{
			{Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus"},
			{
				Name: "policy_server", Label: "Policy server", Type: "query", Datasource: &prometheusOfReader,
				Query:      "label_values(" + in.expr("kubewarden_policy_server_replicas_wanted{"+ours+"}") + ", policy_server)",
				IncludeAll: true, Multi: true, AllValue: ".*", Refresh: 2,
			},
		}},
	}
	var place grafanaPlace
	for number, panel := range dashboardPanels() {
		place = nextPlace(place, panel.single)
		board.Panels = append(board.Panels, in.grafanaPanel(number+1, panel, place))
	}
	return board
}

// nextPlace is to the right of the last panel, or in the next row.
func nextPlace(last grafanaPlace, single bool) grafanaPlace {
	next := grafanaPlace{X: last.X + last.W, Y: last.Y, W: panelWidth, H: panelHeight}
	if single {
		next.W, next.H = headlineWidth, headlineHeight
	}
	if next.X+next.W > boardWidth {
		next.X, next.Y = 0, last.Y+last.H
	}
	return next
}

func (in MonitoringInput) grafanaPanel(number int, panel panel, place grafanaPlace) grafanaPanel {
	shown := grafanaPanel{
		ID: number, Title: panel.title, Type: "timeseries", Datasource: prometheusOfReader, GridPos: place,
		FieldConfig: grafanaFields{Defaults: grafanaDefaults{Unit: panel.unit}, Overrides: []string{}},
	}
	if panel.single {
		shown.Type = "stat"
	}
	for i, query := range panel.series {
		shown.Targets = append(shown.Targets, grafanaQuery{
			RefID:        string(rune('A' + i)),
			Expr:         strings.ReplaceAll(in.expr(query.expr), server, `policy_server=~"$policy_server"`),
			LegendFormat: query.legend,
		})
	}
	return shown
}
