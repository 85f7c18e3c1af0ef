# Alternative to `make image` for builds with Docker.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETARCH VERSION=dev COMMIT DATE REPOSITORY=drey.dev/drey
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=linux GOARCH=$TARGETARCH go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT -X main.date=$DATE -X drey.dev/drey/manifests/bundle.Repository=$REPOSITORY -X drey.dev/drey/manifests/bundle.Version=${VERSION#v}" -o /drey ./cmd/drey

FROM scratch
COPY --from=build --chmod=555 /drey /drey
USER 65532:65532
ENTRYPOINT ["/drey"]
