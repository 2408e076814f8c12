package diag

// A Tree is something that branches and costs, such as the includes of an SPF
// record with the look-ups that each one takes. It holds data, no sentences:
// labels are terms and names as they stand in records, hostile until a
// renderer has sanitised them.
type Tree struct {
	Label string
	// Cost is that of this node and everything below it, so the root's Cost is
	// the sum.
	Cost int
	// Note says what is special about the node: a code of lower case letters
	// and digits, parts joined by '-' ("void", "timeout"), or "". A renderer
	// shows the text term.note.<code> of the report frame, or else the code.
	Note string
	// Bad marks the node as at fault, or as the one that breaks the limit.
	Bad      bool
	Children []*Tree

	// Unit and Limit matter at the root only. Unit is a code for what is
	// counted ("lookups"); Limit is the sum that is still allowed, 0 if there
	// is no limit.
	Unit  string
	Limit int
}

// A Treer is check data (CheckReport.Data) that can be drawn as a [Tree].
type Treer interface {
	Tree() *Tree // nil: there is nothing to draw
	// ShowTree reports whether the tree belongs into every report, because it
	// shows the problem. Otherwise it is drawn only where details are wanted.
	ShowTree() bool
}
