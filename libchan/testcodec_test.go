// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package libchan

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// A plainCodec is JSON in which {"$ref": n} is a reference. It is what the tests of channels
// need of a codec, and no more.
type plainCodec struct{ name string }

func init() {
	if builtin == nil {
		builtin = []Codec{plainCodec{"plain"}}
	}
}

func (c plainCodec) Name() string { return c.name }

func (plainCodec) Marshal(b []byte, v any, refs Refs) ([]byte, error) {
	plain, err := toPlain(reflect.ValueOf(v), refs)
	if err != nil {
		return b, err
	}
	encoded, err := json.Marshal(plain)
	return append(b, encoded...), err
}

func (plainCodec) Unmarshal(data []byte, v any, refs Refs) error {
	var plain any
	if err := json.Unmarshal(data, &plain); err != nil {
		return err
	}
	return fromPlain(plain, reflect.ValueOf(v).Elem(), refs)
}

func toPlain(v reflect.Value, refs Refs) (any, error) {
	if !v.IsValid() {
		return nil, nil
	}
	if refs.Carries(v.Type()) {
		if i, ok, err := refs.Add(v.Interface()); err != nil {
			return nil, err
		} else if ok {
			return map[string]any{"$ref": i}, nil
		}
		return nil, nil
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return toPlain(v.Elem(), refs)
	case reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue
			}
			p, err := toPlain(v.Field(i), refs)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", v.Type().Field(i).Name, err)
			}
			m[v.Type().Field(i).Name] = p
		}
		return m, nil
	case reflect.Map:
		m := map[string]any{}
		for _, k := range v.MapKeys() {
			p, err := toPlain(v.MapIndex(k), refs)
			if err != nil {
				return nil, err
			}
			m[fmt.Sprint(k)] = p
		}
		return m, nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return v.Interface(), nil
		}
		list := []any{}
		for i := range v.Len() {
			p, err := toPlain(v.Index(i), refs)
			if err != nil {
				return nil, err
			}
			list = append(list, p)
		}
		return list, nil
	case reflect.Func, reflect.Chan:
		return nil, fmt.Errorf("cannot encode %v", v.Type())
	}
	return v.Interface(), nil
}

func fromPlain(plain any, to reflect.Value, refs Refs) error {
	if plain == nil {
		return nil
	}
	if m, ok := plain.(map[string]any); ok && m["$ref"] != nil {
		got, err := refs.Get(int(m["$ref"].(float64)), to.Type())
		if err == nil {
			to.Set(got)
		}
		return err
	}
	if m, ok := plain.(map[string]any); ok && to.Kind() == reflect.Struct {
		for i := range to.NumField() {
			if f := to.Type().Field(i); f.IsExported() && m[f.Name] != nil {
				if err := fromPlain(m[f.Name], to.Field(i), refs); err != nil {
					return fmt.Errorf("%s: %w", f.Name, err)
				}
			}
		}
		return nil
	}
	if to.Kind() == reflect.Pointer {
		to.Set(reflect.New(to.Type().Elem()))
		return fromPlain(plain, to.Elem(), refs)
	}
	if list, ok := plain.([]any); ok && to.Kind() == reflect.Slice {
		to.Set(reflect.MakeSlice(to.Type(), len(list), len(list)))
		for i := range list {
			if err := fromPlain(list[i], to.Index(i), refs); err != nil {
				return err
			}
		}
		return nil
	}
	if m, ok := plain.(map[string]any); ok && to.Kind() == reflect.Map {
		to.Set(reflect.MakeMap(to.Type()))
		for k := range m {
			v := reflect.New(to.Type().Elem()).Elem()
			if err := fromPlain(m[k], v, refs); err != nil {
				return err
			}
			to.SetMapIndex(reflect.ValueOf(k), v)
		}
		return nil
	}
	if m, ok := plain.(map[string]any); ok && to.Kind() == reflect.Interface {
		for k := range m {
			var v any
			if err := fromPlain(m[k], reflect.ValueOf(&v).Elem(), refs); err != nil {
				return err
			}
			m[k] = v
		}
		to.Set(reflect.ValueOf(m))
		return nil
	}
	b, err := json.Marshal(plain)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to.Addr().Interface())
}
