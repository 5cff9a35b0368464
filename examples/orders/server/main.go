// Command server streams the orders of a shop.
package main

//go:generate protoc -I.. --go_out=. --go_opt=module=example.com/shop/orders/server --go-grpc_out=. --go-grpc_opt=module=example.com/shop/orders/server orders.proto

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"example.com/shop/orders/server/shopv1"
)

type flags struct {
	host    string
	port    int
	rate    uint64
	count   uint64
	maxAge  time.Duration
	grace   time.Duration
	logFile string
}

func parseFlags() flags {
	var f flags
	flag.StringVar(&f.host, "host", "127.0.0.1", "address to listen on; empty is every one of this machine")
	flag.IntVar(&f.port, "port", 50051, "port to listen on; 0 takes a free one")
	flag.Uint64Var(&f.rate, "rate", 0, "orders per second of calls that do not ask for a rate; 0 is no limit")
	flag.Uint64Var(&f.count, "count", 0, "orders in each region; 0 is no end")
	flag.DurationVar(&f.maxAge, "max-connection-age", 0, "close connections after this time; 0 is never")
	flag.DurationVar(&f.grace, "max-connection-age-grace", time.Second, "how long their calls may go on")
	flag.StringVar(&f.logFile, "log", "", "file for one line per call opened and closed; standard error by default")
	flag.Parse()
	return f
}

func main() {
	if err := serve(parseFlags()); err != nil {
		log.Fatal(err)
	}
}

func serve(f flags) error {
	out, err := openLog(f.logFile)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(f.host, strconv.Itoa(f.port)))
	if err != nil {
		return err
	}
	orders := NewOrderService(&CallLog{out: out})
	orders.Rate, orders.Count = f.rate, f.count
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(newCodec()),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: f.maxAge, MaxConnectionAgeGrace: f.grace,
		}),
	)
	shopv1.RegisterOrderServiceServer(server, orders)
	healthy := health.NewServer()
	healthpb.RegisterHealthServer(server, healthy)
	reflection.Register(server)

	stop, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	stopped := make(chan struct{})
	go func() {
		<-stop.Done()
		healthy.Shutdown()
		orders.Stop()
		server.GracefulStop()
		close(stopped)
	}()
	fmt.Printf("listening on %s\n", listener.Addr())
	if err := server.Serve(listener); err != nil {
		return err
	}
	<-stopped
	return nil
}

func openLog(path string) (io.Writer, error) {
	if path == "" {
		return os.Stderr, nil
	}
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
}
