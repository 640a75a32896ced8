package document

// List are the elements of the list at a path; none where there is none. What is no list is an
// error.
func (v Value) List(path ...string) ([]Value, error) { return atPath(v, path, list) }

// Text is the text of the string at a path; "" where there is none. What is no string is an
// error. What of it is no UTF-8 stays as it is.
func (v Value) Text(path ...string) (string, error) { return atPath(v, path, text) }

// Bool is the truth value at a path; false where there is none. Anything else is an error.
func (v Value) Bool(path ...string) (bool, error) { return atPath(v, path, boolean) }

// Texts are the elements of the list of strings at a path; none where there is none. Anything
// else is an error.
func (v Value) Texts(path ...string) ([]string, error) { return atPath(v, path, texts) }

// TextMap has the members of the object of strings at a path, of those of the same name the
// first; it is nil where there is none. Null is an empty text. Anything else is an error.
func (v Value) TextMap(path ...string) (map[string]string, error) { return atPath(v, path, textMap) }

// TextEntry is a member of an object of strings.
type TextEntry struct{ Name, Text string }

// TextEntries are all members of the object of strings at a path, of which several may have the
// same name, of whom the first counts; none where there is none. Null is an empty text. Anything
// else is an error.
func (v Value) TextEntries(path ...string) ([]TextEntry, error) {
	return atPath(v, path, textEntries)
}

// Entry is a member of an object.
type Entry struct {
	Name  string
	Value Value
}

// Entries are all members of the object at a path, of which several may have the same name; none
// where there is none. What is no object is an error.
func (v Value) Entries(path ...string) ([]Entry, error) { return atPath(v, path, entries) }

// atPath reads what stands at a path. The error says where.
func atPath[T any](v Value, path []string, read func(Value) (T, error)) (T, error) {
	var none T
	found, err := v.Get(path...)
	if err != nil || !found.Exists() {
		return none, err
	}
	value, err := read(found)
	if err != nil {
		return none, In(err, path...)
	}
	return value, nil
}

// few is for how many entries and elements room is made before it is known how many there are.
const few = 4

func list(v Value) ([]Value, error) {
	if !v.begins('[') {
		return nil, v.Wrong("a list")
	}
	all := make([]Value, 0, few)
	var elements walk
	elements.begin(v)
	for {
		more, err := elements.element()
		if err != nil || !more {
			return all, err
		}
		all = append(all, elements.current())
	}
}

func entries(v Value) ([]Entry, error) {
	if !v.begins('{') {
		return nil, v.Wrong("an object")
	}
	all := make([]Entry, 0, few)
	var members walk
	members.begin(v)
	for {
		more, err := members.member(everyName)
		if err != nil || !more {
			return all, err
		}
		name, err := members.currentName()
		if err != nil {
			return nil, err
		}
		all = append(all, Entry{name, members.current().orNone()})
	}
}

func text(v Value) (string, error) {
	if !v.begins('"') {
		return "", v.Wrong("a string")
	}
	between := v.in.content[v.at+1 : v.end-1]
	if v.number != escaped {
		return between, nil
	}
	text, valid := unescape(between)
	if !valid {
		return "", v.Wrong("a string with escapes of JSON")
	}
	return text, nil
}

func boolean(v Value) (bool, error) {
	switch v.JSON() {
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, v.Wrong("true or false")
	}
}

func texts(v Value) ([]string, error) {
	elements, err := list(v)
	if err != nil {
		return nil, err
	}
	all := make([]string, len(elements))
	for i, element := range elements {
		if all[i], err = text(element); err != nil {
			return nil, At(err, i)
		}
	}
	return all, nil
}

func textMap(v Value) (map[string]string, error) {
	members, err := textEntries(v)
	if err != nil {
		return nil, err
	}
	all := make(map[string]string, len(members))
	for _, member := range members {
		if _, seen := all[member.Name]; !seen {
			all[member.Name] = member.Text
		}
	}
	return all, nil
}

func textEntries(v Value) ([]TextEntry, error) {
	members, err := entries(v)
	if err != nil {
		return nil, err
	}
	all := make([]TextEntry, len(members))
	for i, member := range members {
		all[i].Name = member.Name
		if all[i].Text, err = member.Value.Text(); err != nil {
			return nil, In(err, member.Name)
		}
	}
	return all, nil
}

// TextsOf are the texts of the members by these names, "" for none. What is no object, or no
// string in it, is an error.
func (v Value) TextsOf(names ...string) ([]string, error) {
	values, err := v.Members(names...)
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(names))
	for i, value := range values {
		if texts[i], err = value.Text(); err != nil {
			return nil, In(err, names[i])
		}
	}
	return texts, nil
}
