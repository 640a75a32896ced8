package document

// Value is a value in a document; the zero value is none. To be null is to be none, but for the
// elements of lists.
type Value struct {
	in      *table
	at, end int32 // where it begins, and what is behind it
	number  int32 // of the bracket of an object or a list; of a string whether it is escaped
}

// Exists says whether there is a value.
func (v Value) Exists() bool { return v.in != nil }

// IsObject says whether there is an object.
func (v Value) IsObject() bool { return v.begins('{') }

// JSON is the value as it stands in the document; "" for none.
func (v Value) JSON() string {
	if v.in == nil {
		return ""
	}
	return v.in.content[v.at:v.end]
}

// Get is what stands at a path of names of members. What is no object on the way is an error;
// where there is nothing on the way, there is nothing at its end.
func (v Value) Get(path ...string) (Value, error) {
	for i, name := range path {
		member, err := v.member(name)
		if err != nil {
			return Value{}, In(err, path[:i]...)
		}
		if !member.Exists() {
			return Value{}, nil
		}
		v = member
	}
	return v, nil
}

func (v Value) member(name string) (Value, error) {
	if !v.begins('{') {
		return Value{}, v.Wrong("an object")
	}
	var members walk
	members.begin(v)
	for {
		more, err := members.member(filterOf(name))
		if err != nil || !more {
			return Value{}, err
		}
		if members.isNamed(name) {
			return members.current().orNone(), nil
		}
	}
}

// Members are the values of an object's members by these names, in the order of the names,
// found in one look over the object. Of members of the same name the first counts. What is no
// object is an error.
func (v Value) Members(names ...string) ([]Value, error) {
	if !v.begins('{') {
		return nil, v.Wrong("an object")
	}
	values := make([]Value, len(names))
	var members walk
	members.begin(v)
	for left, wanted := len(names), filterOf(names...); left > 0; {
		more, err := members.member(wanted)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		for i, name := range names {
			if !values[i].Exists() && members.isNamed(name) {
				values[i] = members.current()
				left--
			}
		}
	}
	for i := range values {
		values[i] = values[i].orNone()
	}
	return values, nil
}

// orNone is no value in the place of null.
func (v Value) orNone() Value {
	if v.begins('n') && v.JSON() == "null" {
		return Value{}
	}
	return v
}

// begins says whether a value begins with a byte, by which one knows of what kind it is.
func (v Value) begins(with byte) bool { return v.in != nil && v.in.content[v.at] == with }
