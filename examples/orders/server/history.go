package main

import (
	"fmt"
	"hash/fnv"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/shop/orders/server/shopv1"
)

const (
	// firstOrderUnix is when order 0 of every region was placed: 2026-01-01T00:00:00Z.
	firstOrderUnix = 1767225600
	// nanosPerOrder is the time between two orders, in the history's own time.
	nanosPerOrder   = 100_000_000
	ordersPerSecond = 1_000_000_000 / nanosPerOrder
	// carts is how many different carts a region's customers fill, over and over.
	carts = 1024
)

var channels = [...]string{"web", "app", "store"}

// History is a region's orders. They are computed, not stored: order n is the same at every start
// of every server, so a resume after a crash is exact.
type History struct {
	region string
	seed   uint64
	carts  [carts][]byte // wire form of what carts have in common, made when first needed
}

// NewHistory returns the history of a region.
func NewHistory(region string) *History {
	hash := fnv.New64a()
	hash.Write([]byte(region))
	return &History{region: region, seed: hash.Sum64()}
}

// mix is the output function of the SplitMix64 generator (Steele, Lea, Flood 2014).
func mix(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

func (h *History) random(cart, draw uint64) uint64 {
	return mix(h.seed + cart*0x9e3779b97f4a7c15 + draw)
}

// Order returns the order with a sequence number, from 1.
func (h *History) Order(sequence uint64) *shopv1.Order {
	order := h.cart(sequence % carts)
	order.Sequence = sequence
	order.OrderId = fmt.Sprintf("%s-%09d", h.region, sequence)
	order.CreatedAt = &timestamppb.Timestamp{
		Seconds: firstOrderUnix + int64(sequence/ordersPerSecond),
		Nanos:   int32(sequence % ordersPerSecond * nanosPerOrder),
	}
	return order
}

func (h *History) cart(cart uint64) *shopv1.Order {
	order := &shopv1.Order{
		CustomerId: fmt.Sprintf("customer-%04d", h.random(cart, 0)%10000),
		Status:     shopv1.Status(1 + h.random(cart, 1)%4),
		Attributes: map[string]string{"channel": channels[h.random(cart, 2)%3]},
		Region:     h.region,
	}
	cents := uint64(0)
	for item := range 1 + h.random(cart, 3)%3 {
		quantity := 1 + h.random(cart, 4+3*item)%5
		price := 100 + h.random(cart, 5+3*item)%9900
		cents += quantity * price
		order.Items = append(order.Items, &shopv1.Item{
			Sku:      fmt.Sprintf("SKU-%03d", h.random(cart, 6+3*item)%1000),
			Quantity: uint32(quantity),
			Price:    float64(price) / 100,
		})
	}
	order.Total = float64(cents) / 100
	return order
}

// AppendOrder appends the wire form of an order: a message equal to Order's, made from a marshalled
// cart some ten times faster.
func (h *History) AppendOrder(b []byte, sequence uint64) ([]byte, error) {
	cart := &h.carts[sequence%carts]
	if *cart == nil {
		wire, err := proto.Marshal(h.cart(sequence % carts))
		if err != nil {
			return nil, err // a region that is not UTF-8
		}
		*cart = wire
	}
	b = protowire.AppendTag(b, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, sequence)
	b = appendOrderID(b, 2, h.region, sequence)
	b = appendTimestamp(b, 7, firstOrderUnix+sequence/ordersPerSecond, sequence%ordersPerSecond*nanosPerOrder)
	return append(b, *cart...), nil
}

// appendOrderID appends what Sprintf("%s-%09d") gives, without its cost.
func appendOrderID(b []byte, field protowire.Number, region string, sequence uint64) []byte {
	var buffer [20]byte
	digits := strconv.AppendUint(buffer[:0], sequence, 10)
	zeros := max(0, 9-len(digits))
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(region)+1+zeros+len(digits)))
	b = append(append(b, region...), '-')
	b = append(b, "000000000"[:zeros]...)
	return append(b, digits...)
}

func appendTimestamp(b []byte, field protowire.Number, seconds, nanos uint64) []byte {
	size := 2 + protowire.SizeVarint(seconds) + protowire.SizeVarint(nanos)
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = protowire.AppendTag(b, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, seconds)
	b = protowire.AppendTag(b, 2, protowire.VarintType)
	return protowire.AppendVarint(b, nanos)
}
