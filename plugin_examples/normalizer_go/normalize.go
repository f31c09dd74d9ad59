package main

import "strings"

// Where the upstreams' dialects say how much a model may think, as JSON Pointers.
var (
	budgets = []string{"/thinking/budget_tokens", "/generationConfig/thinkingConfig/thinkingBudget"}
	efforts = []string{"/reasoning_effort", "/reasoning/effort", "/output_config/effort"}
)

type config struct {
	MaxBudget float64            `json:"max_budget"` // 0: no cap
	Efforts   map[string]*string `json:"efforts"`    // what stands for a level; nil takes it out
}

type change struct {
	Set    object   `json:"set,omitempty"`
	Remove []string `json:"remove,omitempty"`
}

// normalize returns what is to be changed in a body, or nil. All else keeps its bytes.
func (c config) normalize(body any) *change {
	made := change{Set: object{}}
	for _, pointer := range budgets {
		if budget, ok := find(body, pointer).(float64); ok && c.MaxBudget > 0 && budget > c.MaxBudget {
			made.Set[pointer] = c.MaxBudget
		}
	}
	for _, pointer := range efforts {
		level, _ := find(body, pointer).(string)
		if instead, named := c.Efforts[level]; named && instead != nil {
			made.Set[pointer] = *instead
		} else if named {
			made.Remove = append(made.Remove, pointer)
		}
	}
	if len(made.Set)+len(made.Remove) == 0 {
		return nil
	}
	return &made
}

// find returns the value that a JSON Pointer names, or nil.
func find(value any, pointer string) any {
	for _, step := range strings.Split(pointer, "/")[1:] {
		within, _ := value.(object)
		value = within[step]
	}
	return value
}
