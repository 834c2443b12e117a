// Empty does nothing: what a Go program takes to start.
package main

func main() {}
