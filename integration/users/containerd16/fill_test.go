// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package containerd16

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/containerd/typeurl"
	"github.com/gogo/protobuf/types"

	// It tells typeurl of a message to put into Anys.
	events "github.com/containerd/containerd/api/services/ttrpc/events/v1"
)

// fill sets all fields of a message, which is a struct, to what depends on the seed.
func fill(v reflect.Value, seed int) {
	switch a := v.Addr().Interface().(type) {
	case *types.Any:
		*a = *packed(seed)
		return
	case *time.Time:
		*a = time.Unix(int64(seed)<<20, int64(seed)).UTC()
		return
	}
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && !strings.HasPrefix(f.Name, "XXX_") {
			set(v.Field(i), f.Name, seed*31+i)
		}
	}
}

// set sets one field, or an element of one.
func set(v reflect.Value, name string, seed int) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64:
		v.SetInt(int64(seed % 7)) // an enum's numbers, too
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(seed))
	case reflect.String:
		v.SetString(fmt.Sprintf("%s-%d-ü", name, seed))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), seed)
	case reflect.Struct:
		fill(v, seed)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(fmt.Appendf(nil, "%s\x00\xff%d", name, seed))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			set(v.Index(i), name, seed+i)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			set(key, name, seed+i)
			set(value, name, seed+i)
			v.SetMapIndex(key, value)
		}
	default:
		panic(fmt.Sprintf("%s is of kind %v", name, v.Kind()))
	}
}

// packed is what containerd has in its Anys: here another event.
func packed(seed int) *types.Any {
	a, err := typeurl.MarshalAny(&events.Envelope{Timestamp: time.Unix(int64(seed), 1).UTC(), Topic: fmt.Sprintf("/tasks/%d", seed)})
	if err != nil {
		panic(err)
	}
	return a
}
