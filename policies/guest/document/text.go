package document

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape is what lies between the quotes of a string with its escapes undone, and says
// whether all of them are JSON's. Half of a pair of surrogates is U+FFFD, as for encoding/json.
func unescape(raw string) (text string, valid bool) {
	plain := make([]byte, 0, len(raw))
	for {
		before, rest, found := strings.Cut(raw, `\`)
		plain = append(plain, before...)
		if !found {
			return string(plain), true
		}
		if rest == "" {
			return "", false
		}
		if rest[0] == 'u' {
			char, length := escapedRune(rest)
			if length == 0 {
				return "", false
			}
			plain, raw = utf8.AppendRune(plain, char), rest[length:]
			continue
		}
		at := strings.IndexByte(`"\/bfnrt`, rest[0])
		if at < 0 {
			return "", false
		}
		plain, raw = append(plain, "\"\\/\b\f\n\r\t"[at]), rest[1:]
	}
}

// escapedRune is the character of an escape that begins with its u, or of two that are a pair of
// surrogates, and how long that is; 0 where it is no escape.
func escapedRune(text string) (char rune, length int) {
	char, valid := codeUnit(text)
	if !valid {
		return 0, 0
	}
	if !utf16.IsSurrogate(char) {
		return char, unitBytes
	}
	if second, more := strings.CutPrefix(text[unitBytes:], `\`); more {
		if low, valid := codeUnit(second); valid && utf16.DecodeRune(char, low) != utf8.RuneError {
			return utf16.DecodeRune(char, low), 2*unitBytes + 1
		}
	}
	return utf8.RuneError, unitBytes
}

// unitBytes are those of a u and of four digits.
const unitBytes = 5

func codeUnit(text string) (unit rune, valid bool) {
	if len(text) < unitBytes || text[0] != 'u' {
		return 0, false
	}
	number, err := strconv.ParseUint(text[1:unitBytes], 16, 16)
	return rune(number), err == nil
}

// AppendText appends a text as a string of JSON. What of it is no UTF-8 becomes U+FFFD.
func AppendText(to []byte, text string) []byte {
	to = append(to, '"')
	for _, char := range text {
		switch {
		case char == '"' || char == '\\':
			to = append(to, '\\', byte(char))
		case char < ' ':
			const digits = "0123456789abcdef"
			to = append(to, '\\', 'u', '0', '0', digits[char>>4], digits[char&0xf])
		default:
			to = utf8.AppendRune(to, char)
		}
	}
	return append(to, '"')
}

// AppendTexts appends a list of strings, each as AppendText does.
func AppendTexts(to []byte, texts []string) []byte {
	to = append(to, '[')
	for i, text := range texts {
		if i > 0 {
			to = append(to, ',')
		}
		to = AppendText(to, text)
	}
	return append(to, ']')
}
