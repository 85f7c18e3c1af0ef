package main

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// meter forwards TCP connections to an address, and counts the bytes.
type meter struct {
	to             string
	listener       net.Listener
	received, sent atomic.Int64 // from the address, and to it

	mu   sync.Mutex
	open []net.Conn
}

// newMeter returns a meter on a free port of loopback.
func newMeter(to string) (*meter, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &meter{to: to, listener: listener}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go m.forward(client)
		}
	}()
	return m, nil
}

func (m *meter) address() string { return m.listener.Addr().String() }

func (m *meter) forward(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", m.to)
	if err != nil {
		return
	}
	defer server.Close()
	m.mu.Lock()
	m.open = append(m.open, client, server)
	m.mu.Unlock()
	go func() {
		_, _ = io.Copy(counted{server, &m.sent}, client)
		_ = server.Close() // ends the other direction
	}()
	_, _ = io.Copy(counted{client, &m.received}, server)
}

// counted adds the bytes that are written to a sum.
type counted struct {
	io.Writer
	sum *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.sum.Add(int64(n))
	return n, err
}

// close ends the listener and all connections.
func (m *meter) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.open {
		_ = c.Close() // may have ended
	}
	return m.listener.Close()
}
