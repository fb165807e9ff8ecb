# Sourced by export_tools.sh and import_tools.sh: an MLflow server.

# Starts one on loopback, with its database in this folder; its address is in $url. Kill $server at the end.
start_mlflow() {
    port=$(free_port)
    "$python" -m mlflow server --host 127.0.0.1 --port "$port" --backend-store-uri "sqlite:///$PWD/mlflow.db" \
        --artifacts-destination "$PWD/artifacts" --workers 1 > server.log 2>&1 &
    server=$!
    url=http://127.0.0.1:$port
    for _ in $(seq 1200); do
        if "$python" -c "import urllib.request; urllib.request.urlopen('$url/health')" 2> /dev/null; then return 0; fi
        kill -0 "$server" 2> /dev/null || break
        sleep 0.1
    done
    cp server.log stderr
    fail "the MLflow server does not start"
    return 1
}
