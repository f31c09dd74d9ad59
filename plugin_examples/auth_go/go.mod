module tickets

go 1.19
