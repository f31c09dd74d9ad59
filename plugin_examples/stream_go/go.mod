module redact

go 1.19
