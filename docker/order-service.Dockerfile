# The order service of the example, in Go.
# Built from the repository's root: docker build -f docker/order-service.Dockerfile .
FROM golang:1.26 AS build
ENV CGO_ENABLED=0
RUN go install github.com/grpc-ecosystem/grpc-health-probe@v0.4.62
WORKDIR /src
COPY examples/orders/server/go.mod examples/orders/server/go.sum ./
RUN go mod download
COPY examples/orders/server ./
RUN go build -o /out/order-service .

# No shell and no libraries are needed: both programs are static.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/order-service /go/bin/grpc-health-probe /
EXPOSE 50051
ENTRYPOINT ["/order-service", "-host", "0.0.0.0"]
