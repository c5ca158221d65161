package auth

import "testing"

func TestLoopback(t *testing.T) {
	for _, host := range []string{"localhost", "LocalHost:80", "127.0.0.1", "127.0.0.1:8080", "127.9.9.9:0", "::1", "[::1]", "[::1]:8080", "[::ffff:127.0.0.1]:80"} {
		if !Loopback(host) {
			t.Errorf("%q is this machine", host)
		}
	}
	for _, host := range []string{
		"", ":8080", "0.0.0.0:80", "[::]:80", "192.0.2.1", "example.com:80", "localhost.example.com", "127.0.0.1.example.com", "1270.0.0.1",
		"localhost.:80", "127.0.0.1@example.com", "0x7f000001", "2130706433", "127.1",
	} {
		if Loopback(host) {
			t.Errorf("%q may be another", host)
		}
	}
}
