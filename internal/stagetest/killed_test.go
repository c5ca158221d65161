package stagetest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// killFunction ends the process of the function that asks from the address, which is what a function looks like that runs out of memory. It
// is found by its connection, in /proc: on Linux alone.
func killFunction(from string) {
	if err := kill(from); err != nil {
		panic(err) // in the proxy's goroutine: net/http logs it, and the test sees that nobody has died
	}
}

func kill(from string) error {
	_, text, err := net.SplitHostPort(from)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	socket, err := socketOf(port)
	if err != nil {
		return err
	}
	open, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return err
	}
	for _, path := range open {
		if to, err := os.Readlink(path); err != nil || to != socket {
			continue
		}
		pid := strings.Split(path, "/")[2]
		program, err := os.Readlink("/proc/" + pid + "/exe")
		if err != nil {
			return err
		}
		if filepath.Base(program) != "bootstrap" {
			return fmt.Errorf("who asks from port %d is %s, and no function", port, program)
		}
		id, err := strconv.Atoi(pid)
		if err != nil {
			return err
		}
		process, err := os.FindProcess(id)
		if err != nil {
			return err
		}
		return process.Kill()
	}
	return fmt.Errorf("nobody asks from port %d", port)
}

// socketOf is the socket of the connection from that port of loopback, as the files of a process name it (proc_pid_net(5)).
func socketOf(port int) (string, error) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		lines, err := os.ReadFile(table)
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(string(lines)) {
			columns := strings.Fields(line)
			if len(columns) > 9 && strings.HasSuffix(columns[1], fmt.Sprintf(":%04X", port)) && columns[9] != "0" {
				return "socket:[" + columns[9] + "]", nil
			}
		}
	}
	return "", errors.New("there is no connection from that port")
}
