// Package registry is drey's domain: the objects that say where Flink may run,
// their names, and the rules that hold for them whichever store keeps them and
// whichever door they come through.
//
// [Registry] holds the rules, [Store] is what a backend must do, and [Index]
// answers the one question that admission asks: which targets does this
// Kubernetes namespace have?
package registry
