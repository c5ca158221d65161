package auth

import (
	"net"
	"net/netip"
	"strings"
)

// Loopback reports whether a host, with or without a port, names this machine alone: localhost, 127.0.0.0/8 or ::1. No name is looked up,
// since whoever answers the look-up would decide.
func Loopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	} else if inner, ok := strings.CutPrefix(host, "["); ok {
		host, _ = strings.CutSuffix(inner, "]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
