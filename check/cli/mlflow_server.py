"""Servers that are one of MLflow, or are not: the first part of the path chooses. Writes its port to ./port and what it is asked to ./requests."""
import http.server, json, os, sys, time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self, code, body, more=()):
        self.send_response(code)
        self.send_header('Content-Length', str(len(body)))
        for key, value in more: self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        open('requests', 'a').write(self.command + ' ' + self.path + '\n')
        mode = self.path.split('/')[1]
        if mode == 'silent':
            return time.sleep(60)
        if mode == 'drip':
            self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n')
            for _ in range(120):
                self.wfile.write(b' ')
                time.sleep(0.5)
            return
        if mode == 'html': return self.answer(200, b'<html>')
        if mode == 'list': return self.answer(200, b'[]')
        if mode == 'other': return self.answer(404, b'not here')
        if mode == 'moved': return self.answer(302, b'', [('Location', '/html' + self.path)])
        if mode == 'login' and self.headers.get('Authorization') not in ('Bearer token', 'Basic bWU6cHc='): return self.answer(401, b'')
        if mode == 'busy' and not hasattr(Handler, 'asked'):
            Handler.asked = True
            return self.answer(503, b'')
        if mode == 'escape': return self.answer(400, json.dumps({'error_code': 'BAD\x1b[2J', 'message': '\x1b]0;x\x07\u202e'}).encode())
        if mode == 'cut':
            self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{')
            self.close_connection = True
            return
        if 'get-by-name' in self.path: said = {'experiment': {'experiment_id': '1'}}
        elif mode == 'lost' and 'runs/search' in self.path: said = {'runs': [{'info': {'run_id': 'r', 'artifact_uri': 'mlflow-artifacts:/1/r/artifacts'}, 'data': {}}]} if hasattr(Handler, 'made') else {}
        elif mode == 'lost' and 'runs/create' in self.path: # it is made, but that is not said
            Handler.made = True
            return self.answer(503, b'')
        elif 'runs/search' in self.path: said = {}
        elif 'runs/create' in self.path:
            uri = {'login': 'mlflow-artifacts:/1/r/artifacts', 'dots': 'mlflow-artifacts:/1/../../x', 'away': 's3://bucket/1'}.get(mode, 'mlflow-artifacts:/1')
            said = {'run': {'info': {'run_id': 'r', 'artifact_uri': uri}, 'data': {}}} if mode != 'nameless' else {}
        else: said = {}
        self.answer(200, json.dumps(said).encode())
    do_GET = do_PUT = do_POST
    def log_message(self, *words): pass


server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1]) if len(sys.argv) > 1 else 0), Handler)
open('port.new', 'w').write(str(server.server_address[1]))
os.rename('port.new', 'port')
server.serve_forever()
