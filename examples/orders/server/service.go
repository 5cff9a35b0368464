package main

import (
	"context"
	"maps"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/shop/orders/server/shopv1"
)

// OrderService streams computed orders; see orders.proto.
type OrderService struct {
	shopv1.UnimplementedOrderServiceServer

	Rate  uint64 // orders per second of calls that do not ask for a rate; 0 is no limit
	Count uint64 // orders in a region; afterwards its streams stay open and silent. 0 is no end
	Log   *CallLog

	stopping chan struct{}
	mutex    sync.Mutex
	progress map[string]uint64
}

// NewOrderService returns a service that streams without limits.
func NewOrderService(log *CallLog) *OrderService {
	return &OrderService{Log: log, stopping: make(chan struct{}), progress: map[string]uint64{}}
}

// Stop ends all streams with UNAVAILABLE. What was sent arrives.
func (s *OrderService) Stop() {
	close(s.stopping)
}

// StreamOrders sends orders until the limit, the caller's cancel, or Stop.
func (s *OrderService) StreamOrders(
	request *shopv1.StreamOrdersRequest, stream grpc.ServerStreamingServer[shopv1.Order],
) error {
	if request.Region == "" {
		return status.Error(codes.InvalidArgument, "region: must not be empty")
	}
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	entry := s.Log.Open(callEntry{
		Reader: request.Reader, Region: request.Region,
		AfterSequence: request.AfterSequence, LastSequence: request.AfterSequence,
	})
	defer func() { s.Log.Close(entry) }()
	return s.send(request, stream, &entry)
}

func (s *OrderService) send(
	request *shopv1.StreamOrdersRequest, stream grpc.ServerStream, entry *callEntry,
) error {
	history := NewHistory(request.Region)
	pace := newPace(s.rateOf(request))
	for sequence := request.AfterSequence + 1; s.Count == 0 || sequence <= s.Count; sequence++ {
		if request.Limit > 0 && sequence > request.Limit {
			return nil
		}
		if err := s.wait(stream.Context(), pace.due(entry.Sent)); err != nil {
			return err
		}
		wire, err := history.AppendOrder(make([]byte, 0, 256), sequence)
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		if err := stream.SendMsg(wireMessage(wire)); err != nil {
			return err
		}
		entry.Sent++
		entry.LastSequence = sequence
		s.record(request.Region, sequence)
	}
	return s.wait(stream.Context(), forever)
}

func (s *OrderService) rateOf(request *shopv1.StreamOrdersRequest) uint64 {
	if request.Rate > 0 {
		return uint64(request.Rate)
	}
	return s.Rate
}

func (s *OrderService) record(region string, sequence uint64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.progress[region] = max(s.progress[region], sequence)
}

// GetProgress tells how far each region's stream has come, over all calls of this process.
func (s *OrderService) GetProgress(
	context.Context, *shopv1.GetProgressRequest,
) (*shopv1.Progress, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return &shopv1.Progress{Sent: maps.Clone(s.progress)}, nil
}

const forever = time.Duration(1<<63 - 1)

// wait returns nil after a delay, or why the stream ends.
func (s *OrderService) wait(ctx context.Context, delay time.Duration) error {
	if delay <= 0 {
		select {
		case <-s.stopping:
			return status.Error(codes.Unavailable, "the server is shutting down")
		default:
			return nil
		}
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-s.stopping:
		return status.Error(codes.Unavailable, "the server is shutting down")
	}
}

// pace spreads messages evenly over time, from when it was made.
type pace struct {
	start    time.Time
	interval time.Duration
}

func newPace(rate uint64) pace {
	if rate == 0 {
		return pace{}
	}
	return pace{start: time.Now(), interval: time.Second / time.Duration(rate)}
}

// due returns how long to wait before message n, from 0.
func (p pace) due(n uint64) time.Duration {
	if p.interval == 0 {
		return 0
	}
	return time.Until(p.start.Add(time.Duration(n) * p.interval))
}
