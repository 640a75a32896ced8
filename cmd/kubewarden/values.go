package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/pflag"
)

var (
	_ pflag.Value = numberValue[int]{}
	_ pflag.Value = durationValue{}
)

// numberValue is a flag that takes whole numbers within bounds.
type numberValue[N uint16 | uint32 | int | int64] struct {
	target *N
	// least and most are what is allowed; most is 0 where nothing but the type bounds it.
	least, most N
}

// number is a flag's value; it has its default from the beginning.
func number[N uint16 | uint32 | int | int64](target *N, otherwise, least, most N) numberValue[N] {
	*target = otherwise
	return numberValue[N]{target: target, least: least, most: most}
}

func (v numberValue[N]) Set(text string) error {
	given, err := strconv.ParseInt(text, 10, 64)
	if err != nil || int64(N(given)) != given || N(given) < v.least || v.most != 0 && N(given) > v.most {
		return fmt.Errorf("%q is not allowed; allowed are %s", text, v.allowed())
	}
	*v.target = N(given)
	return nil
}

func (v numberValue[N]) allowed() string {
	if v.most == 0 {
		return fmt.Sprintf("whole numbers, %d and more", v.least)
	}
	return fmt.Sprintf("whole numbers from %d to %d", v.least, v.most)
}

func (v numberValue[N]) String() string {
	if v.target == nil {
		return ""
	}
	return strconv.FormatInt(int64(*v.target), 10)
}

// Type is what the help shows in the place of a value.
func (v numberValue[N]) Type() string { return "number" }

// durationValue is a flag that takes durations that are not below zero.
type durationValue struct{ target *time.Duration }

// duration is a flag's value; it has its default from the beginning.
func duration(target *time.Duration, otherwise time.Duration) durationValue {
	*target = otherwise
	return durationValue{target}
}

func (v durationValue) Set(text string) error {
	given, err := time.ParseDuration(text)
	if err != nil || given < 0 {
		return fmt.Errorf("%q is not allowed; allowed are durations such as 10s or 1m30s, 0s and more", text)
	}
	*v.target = given
	return nil
}

func (v durationValue) String() string {
	if v.target == nil {
		return ""
	}
	return v.target.String()
}

// Type is what the help shows in the place of a value.
func (v durationValue) Type() string { return "duration" }
