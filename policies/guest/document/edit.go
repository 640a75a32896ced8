package document

import "slices"

// Edits are changes of values in one document. All else stays as it was written. The zero value
// has none.
type Edits struct{ all []edit }

// edit puts a text into the place of what stands between two offsets.
type edit struct {
	from, to int32
	text     string
}

// Any says whether there are any.
func (e *Edits) Any() bool { return len(e.all) > 0 }

// Set puts some JSON at a path of names of members in an object: in the place of what stands
// there, or behind all other members. Objects that are missing on the way are made, each by one
// edit. What is no object is an error.
func (e *Edits) Set(object Value, json string, path ...string) error {
	for len(path) > 1 {
		next, err := object.member(path[0])
		if err != nil {
			return err
		}
		if !next.Exists() {
			break
		}
		object, path = next, path[1:]
	}
	for _, name := range slices.Backward(path[1:]) {
		json = "{" + string(AppendText(nil, name)) + ":" + json + "}"
	}
	return e.set(object, path[0], json)
}

func (e *Edits) set(object Value, name, json string) error {
	if !object.begins('{') {
		return object.Wrong("an object")
	}
	var members walk
	members.begin(object)
	for {
		more, err := members.member(filterOf(name))
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if members.isNamed(name) {
			e.all = append(e.all, edit{int32(members.value.at), int32(members.value.end), json})
			return nil
		}
	}
	end := object.end - 1
	text := AppendText(nil, name)
	if behindBlanks(object.in.content, int(object.at)+1) < int(end) || slices.ContainsFunc(e.all, func(other edit) bool { return other.from == end }) {
		text = slices.Insert(text, 0, ',')
	}
	e.all = append(e.all, edit{end, end, string(text) + ":" + json})
	return nil
}

// Append appends the JSON of a value with the changes in it, no two of which are of the same
// member or of one and what is in it.
func (e *Edits) Append(to []byte, value Value) []byte {
	slices.SortStableFunc(e.all, func(a, b edit) int { return int(a.from - b.from) })
	content, at := value.in.content, value.at
	for _, one := range e.all {
		to = append(append(to, content[at:one.from]...), one.text...)
		at = one.to
	}
	return append(to, content[at:value.end]...)
}
