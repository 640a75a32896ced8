package document

// List are the elements of the list at a path; none where there is none. What is no list is an
// error.
func (v Value) List(path ...string) ([]Value, error) { return at(v, path, list) }

// Text is the text of the string at a path; "" where there is none. What is no string is an
// error. What of it is no UTF-8 stays as it is.
func (v Value) Text(path ...string) (string, error) { return at(v, path, text) }

// Bool is the truth value at a path; false where there is none. Anything else is an error.
func (v Value) Bool(path ...string) (bool, error) { return at(v, path, boolean) }

// Texts are the elements of the list of strings at a path; none where there is none. Anything
// else is an error.
func (v Value) Texts(path ...string) ([]string, error) { return at(v, path, texts) }

// TextMap has the members of the object of strings at a path, of those of the same name the
// first; it is nil where there is none. Null is an empty text. Anything else is an error.
func (v Value) TextMap(path ...string) (map[string]string, error) { return at(v, path, textMap) }

// at reads what stands at a path. The error says where.
func at[T any](v Value, path []string, read func(Value) (T, error)) (T, error) {
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

func list(v Value) ([]Value, error) {
	if !v.begins('[') {
		return nil, v.Wrong("a list")
	}
	all := make([]Value, 0, few)
	for elements := over(v); ; {
		more, err := elements.step()
		if err != nil || !more {
			return all, err
		}
		all = append(all, elements.value)
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
	entries, err := v.Entries()
	if err != nil {
		return nil, err
	}
	all := make(map[string]string, len(entries))
	for _, entry := range entries {
		if _, seen := all[entry.Name]; seen {
			continue
		}
		if all[entry.Name], err = entry.Value.Text(); err != nil {
			return nil, In(err, entry.Name)
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
