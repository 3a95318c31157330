module github.com/holdfastdb/holdfast/replicate

go 1.26.0

replace github.com/holdfastdb/holdfast => ..
