// Package image fetches container images and keeps them unpacked. It runs nothing and mounts nothing.
//
// # References
//
// An image is named as in Docker ("redis:7", "registry.example/team/app@sha256:…"), or as a folder or file of this
// machine: "oci:DIR[:TAG]" is an OCI image layout, "docker-archive:FILE" what docker save writes.
//
// # Store
//
// DATA/images, for all projects together, and for root only:
//
//	refs/HASH.json      which image a reference named when it was pulled; HASH is of the reference
//	configs/ID.json     an image: its layers and what it says about running it
//	layers/DIFFID/
//		files/      an unpacked layer, as overlayfs wants a lower folder: whiteouts are devices 0/0,
//		            opaque folders have trusted.overlay.opaque
//		size        in bytes
//	tmp/                what is being made or removed; nothing in it counts
//	pull.lock, use.lock held (flock) while an image is pulled; while one is removed, or taken into use
//
// A layer is unpacked in tmp, its digest is compared, it is written to disk, and only then gets its name; a config is written
// after its layers, a reference after its config. So what has a name is whole, whenever topo or the machine died. What
// is left in tmp goes with the next pull.
//
// # Trust
//
// A layer may come from anybody. It is unpacked by containerd's pkg/archive, which resolves every path inside the
// layer's own folder; a test has layers that try to get out. Extended attributes that only overlayfs may set
// (trusted.*) are dropped. What is unpacked is what the config's digests name, whatever the registry sent.
package image
