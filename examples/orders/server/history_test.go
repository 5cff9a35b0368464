package main

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"example.com/shop/orders/server/shopv1"
)

func TestAppendOrderIsProtobuf(t *testing.T) {
	for _, region := range []string{"north", "é"} {
		history := NewHistory(region)
		for _, sequence := range []uint64{1, 9, 10, 1023, 1024, 1025, 999_999_999, 1_000_000_000} {
			wire, err := history.AppendOrder(nil, sequence)
			if err != nil {
				t.Fatal(err)
			}
			want, got := history.Order(sequence), &shopv1.Order{}
			if err := proto.Unmarshal(wire, got); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(got, want) {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
	}
}

func BenchmarkOrder(b *testing.B) {
	history := NewHistory("north")
	for sequence := uint64(1); b.Loop(); sequence++ {
		history.AppendOrder(make([]byte, 0, 256), sequence)
	}
}
