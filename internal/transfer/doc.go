// Package transfer copies files between trees: those of this machine and those that a node sees. What is copied is a tar
// stream on its way, and can come from one or go to one. It runs nothing and enters no namespace.
//
// # Trust
//
// Whoever owns a tree may change it at any moment, and put links anywhere in it. A path that a person names is followed as a
// process of the tree would follow it: that is the business of [Tree].Open, which gives a folder. From there on
// everything goes by os.Root, which nothing leads out of. What is packed are links themselves; what is unpacked replaces a link,
// and never a folder.
//
// Without [Options].Archive nothing that gives its user more rights arrives: no set-user-ID bit, no capability, no device.
package transfer
