# The daemon, alone in an image without a shell: docker build -t holdfast .
# A container that others can reach needs a token (HOLDFAST_WRITE_TOKEN), and keeps its
# databases in a volume of this machine, not of a network:
#   docker run -e HOLDFAST_WRITE_TOKEN -v holdfast:/var/lib/holdfast -p 7391:7391 holdfast
FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=true -o /out/holdfast ./cmd/holdfast && mkdir /out/data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/holdfast /usr/bin/holdfast
COPY --from=build --chown=65532:65532 --chmod=0700 /out/data /var/lib/holdfast
ENV HOLDFAST_SERVE_LISTEN=0.0.0.0:7391 HOLDFAST_DATABASE_PATH=/var/lib/holdfast/main.db
USER 65532:65532
WORKDIR /var/lib/holdfast
VOLUME /var/lib/holdfast
EXPOSE 7391
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/holdfast"]
CMD ["serve"]
