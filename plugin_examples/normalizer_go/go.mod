module thinking_cap

go 1.19
