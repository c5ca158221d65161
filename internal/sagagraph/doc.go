// Package sagagraph draws a state machine, and the way that an execution took through it.
//
//	definition ──asl.Parse──> Machine ──New──> Graph ──SVG, StandaloneSVG, Mermaid──> text
//	                                             ^
//	             history ──PathOf──> Path ───────┘
//
// # What it promises
//
// The way to success runs down as straight as it can, the compensation stands to its right on ground of its own, no line runs through a box, and
// every edge that is no loop leads down. The same machine and path give the same bytes. A state's name may be anything: it
// comes out as text, never as markup, in SVG and in Mermaid.
//
// # How it lays out
//
// What is inside of a Parallel or a Map is laid out first, and stands in its box. Each flow is laid out in layers, after Sugiyama: loops are cut by a depth-first walk, each state stands below all that lead to it, an edge that
// spans layers passes through a point in each, and the layers are ordered by barycentres until few lines cross. Long
// edges that enter the same state from the same side share a line, as do the jumps with which a first choice resumes a
// saga in the middle: the order saga has eleven of them, and drawn one by one they hide all the rest.
//
// # What it refuses
//
// Nothing: a Machine is valid already, and a Path that names states which are not there is drawn without them.
package sagagraph
