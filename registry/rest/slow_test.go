package rest_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/eventually"
)

const mebibyte = 1 << 20

// TestSlowBodiesLeaveRoomForOthers: requests of one address or caller whose bodies do not
// come hold up no request of another.
func TestSlowBodiesLeaveRoomForOthers(t *testing.T) {
	const path = "/api/v1/namespaces/%s/deployments"
	type sender struct {
		server         *httptest.Server
		address, token string
		namespace      string
	}
	for who, senders := range map[string]func(t *testing.T) (slow, other sender){
		"of one address": func(t *testing.T) (slow, other sender) {
			s := newServer(t)
			return sender{s, "127.0.0.2", "", "default"}, sender{s, "127.0.0.3", "", "default"}
		},
		"of one caller": func(t *testing.T) (slow, other sender) {
			g := newGuarded(t)
			return sender{g.Server, "127.0.0.1", g.tokens["editor"], "team-a"}, sender{g.Server, "127.0.0.1", g.tokens["owner"], "team-a"}
		},
	} {
		for bodies, header := range map[string]string{
			"of 1 MiB":     fmt.Sprintf("Content-Length: %d\r\n", mebibyte-1),
			"of 64 KiB":    fmt.Sprintf("Content-Length: %d\r\n", 64<<10),
			"of 1 KiB":     "Content-Length: 1024\r\n",
			"of no length": "Transfer-Encoding: chunked\r\n",
		} {
			t.Run(who+", bodies "+bodies, func(t *testing.T) {
				t.Parallel()
				slow, other := senders(t)
				answered := make(chan bool)
				const n = 300
				for range n {
					go func() {
						answered <- hold(t, slow.server, slow.address, slow.token, fmt.Sprintf(path, slow.namespace), header)
					}()
				}
				holding := 0
				for range n {
					if <-answered {
						holding++
					}
				}
				if holding < 4 { // else the test shows nothing
					t.Fatalf("%d of %d slow bodies were read", holding, n)
				}
				client := &http.Client{Timeout: eventually.Timeout, Transport: &http.Transport{DialContext: from(other.address).DialContext}}
				defer client.CloseIdleConnections()
				for name, size := range map[string]int{"small": 0, "of-60-kib": 60 << 10, "large": mebibyte / 2} {
					body := fmt.Sprintf(`{"metadata":{"name":%q},"spec":{"text":%q}}`, name, strings.Repeat("x", size))
					request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, other.server.URL+fmt.Sprintf(path, other.namespace), strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					request.Header.Set("Content-Type", "application/json")
					request.Header.Set("Authorization", "Bearer "+other.token)
					response, err := client.Do(request)
					if err != nil {
						t.Fatal(err)
					}
					_ = response.Body.Close()
					if response.StatusCode != http.StatusCreated {
						t.Errorf("beside %d slow bodies, a %s body of another got %s", holding, name, response.Status)
					}
				}
			})
		}
	}
}

func from(address string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
}

// hold begins a request whose body does not come. It returns once the server reads the
// body, true, or has answered, false. The connection stays until the test ends.
func hold(t *testing.T, server *httptest.Server, address, token, path, header string) bool {
	conn, err := from(address).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Error(err)
		return false
	}
	context.AfterFunc(t.Context(), func() { _ = conn.Close() })
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n%s\r\n", path, token, header); err != nil {
		t.Error(err)
		return false
	}
	status, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && strings.Contains(status, " 100 ")
}
