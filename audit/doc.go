// Package audit is the door to the audit scanner: one scan lists what exists in the
// cluster, asks the policy servers what they would say if it were created now, and writes
// one report per object.
//
//	plan     pure: policies x kinds of objects -> what to list, what to ask
//	scan     lists, asks, hands the answers on; the only room that talks to policy servers
//	report   answers -> report objects, of either report API; the only room that writes
//
// A scan reads straight down: scan.Scanner.Run -> plan.New -> for the cluster and for each
// namespace: list page by page -> matching -> ask -> report.Session.Write -> Prune.
//
// What belongs here: nothing but this map. What never does in any of the rooms: judging
// an object (the policy server does, so that an audit and an admission cannot differ), and
// anything of controllers.
package audit
