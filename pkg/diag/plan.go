package diag

// A Plan is one set of edits that belongs together: every fix of a report that
// can be made beside the others, tried as a whole.
type Plan struct {
	Target Target
	// Steps are the fixes that were chosen, in the order in which they were
	// tried: each over those before it.
	Steps []Step
	// Edits are those of all steps as one set: what to publish. They were tried
	// as a set.
	Edits []Edit
	// Left are the findings that fail or warn after the edits.
	Left []Left
	// More: a limit or the time ended the search, and there may be more to mend.
	More bool
	// Before and After are the report without and with the edits. After is Before
	// if there are none.
	Before, After *Report
}

// A Step is a fix that is part of a plan.
type Step struct {
	Check   *Check
	Finding Finding // as it was when the fix was chosen
	Edits   []Edit  // over those of the steps before
	// Gone are other findings that went with it.
	Gone []Finding
	// Others are fixes of the finding that would do as well, but not besides.
	Others []Fix
}

// A Left is a finding that a plan does not mend.
type Left struct {
	Check   *Check
	Finding Finding
	// Tried are its fixes, none of them verified, with the reasons in Unverified.
	// None: what to do is for a person to decide, or is no record.
	Tried []Fix
}
