// The server as an HTTP/1.1 peer: connections, framing, limits and errors; no audio here.
#include <gtest/gtest.h>

#include <string>

#include "server/running_server.h"

namespace lyre::server::test {
namespace {

class ServerHttp : public RunningServer {};

TEST_F(ServerHttp, AnswersOnAPortOfItsOwnChoice) {
  open();
  EXPECT_NE(port(), 0);
  TestClient client(port());
  const WireResponse response = client.exchange(get("/healthz"));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "{\"status\":\"ok\"}\n");
  EXPECT_EQ(response.headers.at("content-type"), "application/json");
  EXPECT_TRUE(response.complete);
}

TEST_F(ServerHttp, ATakenPortIsAnErrorThatNamesIt) {
  open();
  config.port = port();
  const auto second = Server::open(config);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(second.error().message.find(std::to_string(port())), std::string::npos);
}

TEST_F(ServerHttp, AnUnknownHostIsAnErrorThatNamesIt) {
  config.host = "no such host";
  const auto opened = Server::open(config);
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().message.find("no such host"), std::string::npos);
}

TEST_F(ServerHttp, ListensOnIpv6) {
  config.host = "::1";
  const auto opened = Server::open(config);
  if (!opened.ok()) GTEST_SKIP() << "no IPv6 on this machine: " << opened.error().message;
  EXPECT_NE((*opened)->port(), 0);
}

TEST_F(ServerHttp, KeepsTheConnectionForFurtherRequests) {
  open();
  TestClient client(port());
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(client.exchange(get(i % 2 == 0 ? "/healthz" : "/nowhere")).status,
              i % 2 == 0 ? 200 : 404);
  }
}

TEST_F(ServerHttp, AnswersPipelinedRequestsInOrder) {
  open();
  TestClient client(port());
  std::string requests;
  for (int i = 0; i < 20; ++i) {
    requests +=
        get(i % 2 == 0 ? "/healthz" : "/nowhere", "x-request-id: r" + std::to_string(i) + "\r\n");
  }
  ASSERT_TRUE(client.send(requests));
  for (int i = 0; i < 20; ++i) {
    const WireResponse response = client.read_response();
    EXPECT_EQ(response.status, i % 2 == 0 ? 200 : 404);
    EXPECT_EQ(response.headers.at("x-request-id"), "r" + std::to_string(i));
  }
}

TEST_F(ServerHttp, TakesARequestByteByByte) {
  open();
  TestClient client(port());
  for (const char c : post("/v1/audio/speech", R"({"input": " "})")) {
    ASSERT_TRUE(client.send({&c, 1}));
  }
  const WireResponse response = client.read_response();
  EXPECT_EQ(response.status, 400);
  EXPECT_NE(response.body.find("empty"), std::string::npos);
}

TEST_F(ServerHttp, TakesAChunkedRequestBody) {
  open();
  TestClient client(port());
  ASSERT_TRUE(
      client.send("POST /v1/audio/speech HTTP/1.1\r\nHost: test\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n"
                  "7\r\n{\"input\r\n7\r\n\": \" \"}\r\n0\r\n\r\n"));
  EXPECT_NE(client.read_response().body.find("empty_input"), std::string::npos);
  EXPECT_EQ(client.exchange(get("/healthz")).status, 200);
}

TEST_F(ServerHttp, ClosesWhenTheClientAsks) {
  open();
  TestClient client(port());
  const WireResponse response = client.exchange(get("/healthz", "Connection: close\r\n"));
  EXPECT_EQ(response.headers.at("connection"), "close");
  EXPECT_EQ(client.receive(), "");
}

TEST_F(ServerHttp, Http10GetsALengthAndAClosedConnection) {
  open();
  TestClient client(port());
  ASSERT_TRUE(client.send("GET /healthz HTTP/1.0\r\n\r\n"));
  const WireResponse response = client.read_response();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.count("transfer-encoding"), 0u);
  EXPECT_EQ(response.headers.at("connection"), "close");
  EXPECT_EQ(client.receive(), "");
}

TEST_F(ServerHttp, Http10MayAskToKeepTheConnection) {
  open();
  TestClient client(port());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(client.send("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    EXPECT_EQ(client.read_response().headers.at("connection"), "keep-alive");
  }
}

TEST_F(ServerHttp, HeadHasTheHeaderOfGetAndNoBody) {
  open();
  TestClient client(port());
  const WireResponse head = client.exchange("HEAD /healthz HTTP/1.1\r\nHost: test\r\n\r\n");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.at("content-length"), "16");
  // Had a body been sent, it would be read as the next response.
  EXPECT_EQ(client.exchange(get("/healthz")).status, 200);
}

TEST_F(ServerHttp, OptionsListsTheMethods) {
  open();
  TestClient client(port());
  const WireResponse one =
      client.exchange("OPTIONS /v1/audio/speech HTTP/1.1\r\nHost: test\r\n\r\n");
  EXPECT_EQ(one.status, 204);
  EXPECT_EQ(one.headers.at("allow"), "POST, OPTIONS");
  EXPECT_EQ(client.exchange("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n").status, 204);
  EXPECT_EQ(client.exchange("OPTIONS /nowhere HTTP/1.1\r\nHost: test\r\n\r\n").status, 404);
}

TEST_F(ServerHttp, WrongMethodIs405WithTheRightOnes) {
  open();
  TestClient client(port());
  const WireResponse response = client.exchange(get("/v1/audio/speech"));
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.headers.at("allow"), "POST, OPTIONS");
  EXPECT_NE(response.body.find("\"param\":null"), std::string::npos);
  EXPECT_EQ(client.exchange("HEAD /v1/audio/speech HTTP/1.1\r\nHost: test\r\n\r\n").status, 405);
}

TEST_F(ServerHttp, ProxiesMaySendTheWholeUrl) {
  open();
  TestClient client(port());
  EXPECT_EQ(client.exchange(get("http://proxy.example/healthz?x=1")).status, 200);
  EXPECT_EQ(client.exchange(get("http://proxy.example")).status, 200);
  EXPECT_EQ(client.exchange(get("/healthz?://x")).status, 200);
}

TEST_F(ServerHttp, AskedFor100ContinueItSaysSo) {
  open();
  TestClient client(port());
  const std::string request =
      post("/v1/audio/speech", R"({"input": " "})", "Expect: 100-continue\r\n");
  const size_t body = request.find("\r\n\r\n") + 4;
  ASSERT_TRUE(client.send(request.substr(0, body)));
  EXPECT_EQ(client.read_response().status, 100);
  ASSERT_TRUE(client.send(request.substr(body)));
  EXPECT_EQ(client.read_response().status, 400);
  EXPECT_EQ(client.exchange(get("/healthz")).status, 200);
}

TEST_F(ServerHttp, ABodyThatWouldBeRefusedIsNotAskedFor) {
  open();
  {
    TestClient client(port());
    ASSERT_TRUE(
        client.send("POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n"
                    "Expect: 100-continue\r\n\r\n"));
    EXPECT_EQ(client.read_response().status, 404);
    EXPECT_EQ(client.receive(), "");
  }
  {
    TestClient client(port());
    ASSERT_TRUE(
        client.send("POST /v1/audio/speech HTTP/1.1\r\nHost: test\r\n"
                    "Content-Length: 2000000000\r\nExpect: 100-continue\r\n\r\n"));
    EXPECT_EQ(client.read_response().status, 413);
  }
  {
    TestClient client(port());
    ASSERT_TRUE(
        client.send("POST /v1/audio/speech HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n"
                    "Expect: a-miracle\r\n\r\n"));
    EXPECT_EQ(client.read_response().status, 417);
  }
}

TEST_F(ServerHttp, AnOversizeBodyIs413AlsoWhileItIsStillSent) {
  config.max_body_bytes = 1000;
  open();
  {
    TestClient client(port());
    ASSERT_TRUE(client.send(post("/v1/audio/speech", std::string(1001, 'x'))));
    const WireResponse response = client.read_response();
    EXPECT_EQ(response.status, 413);
    EXPECT_NE(response.body.find("1000 bytes"), std::string::npos);
    EXPECT_EQ(client.receive(), "");  // and the connection ends
  }
  {
    TestClient client(port());
    ASSERT_TRUE(
        client.send("POST /v1/audio/speech HTTP/1.1\r\nHost: test\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n"));
    for (int i = 0; i < 100 && client.send("64\r\n" + std::string(100, 'x') + "\r\n"); ++i) {
    }
    EXPECT_EQ(client.read_response().status, 413);
  }
  {
    TestClient client(port());
    EXPECT_EQ(client.exchange(post("/v1/audio/speech", std::string(1000, ' '))).status, 400);
  }
}

TEST_F(ServerHttp, AnOversizeHeaderIs431) {
  config.max_header_bytes = 1000;
  open();
  TestClient client(port());
  ASSERT_TRUE(client.send(get("/healthz", "x: " + std::string(2000, 'y') + "\r\n")));
  EXPECT_EQ(client.read_response().status, 431);
  TestClient endless(port());
  ASSERT_TRUE(endless.send("GET /" + std::string(5000, 'y')));
  EXPECT_EQ(endless.read_response().status, 431);
}

TEST_F(ServerHttp, WhatIsNotHttpIs400) {
  open();
  const std::string bad[] = {
      "\x16\x03\x01\x02\x01\x01\x01\x01",  // TLS
      "GET / HTTP/9.9\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
  };
  for (const std::string& request : bad) {
    TestClient client(port());
    ASSERT_TRUE(client.send(request));
    const WireResponse response = client.read_response();
    EXPECT_EQ(response.status, 400) << request;
    EXPECT_NE(response.body.find("\"code\":\"bad_request\""), std::string::npos) << request;
    EXPECT_EQ(client.receive(), "") << request;
  }
}

TEST_F(ServerHttp, ARequestThatBreaksOffIsNoRequest) {
  open();
  const std::string whole =
      post("/v1/audio/speech", R"({"input": "hi", "response_format": "wav"})");
  for (size_t length = 0; length < whole.size(); ++length) {
    TestClient client(port());
    ASSERT_TRUE(client.send(whole.substr(0, length)));
    if (length % 2 == 0) {
      client.finish_sending();
      EXPECT_EQ(client.receive_all(), "") << length;
    } else {
      client.close_abruptly();
    }
  }
  EXPECT_EQ(TestClient(port()).exchange(get("/healthz")).status, 200);
}

TEST_F(ServerHttp, ASlowHeaderIsCutOff) {
  config.header_timeout = std::chrono::milliseconds(50);
  open();
  TestClient client(port());
  ASSERT_TRUE(client.send("GET / HT"));
  EXPECT_EQ(client.receive(), "");
}

TEST_F(ServerHttp, ASlowBodyIsCutOff) {
  config.body_timeout = std::chrono::milliseconds(50);
  open();
  TestClient client(port());
  ASSERT_TRUE(
      client.send("POST /v1/audio/speech HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"));
  EXPECT_EQ(client.receive(), "");
}

TEST_F(ServerHttp, AnIdleConnectionIsClosed) {
  config.idle_timeout = std::chrono::milliseconds(50);
  open();
  TestClient client(port());
  EXPECT_EQ(client.receive(), "");
}

TEST_F(ServerHttp, ConnectionsBeyondTheLimitWaitForTheirTurn) {
  config.max_connections = 2;
  open();
  auto first = std::make_unique<TestClient>(port());
  TestClient second(port());
  EXPECT_EQ(first->exchange(get("/healthz")).status, 200);
  EXPECT_EQ(second.exchange(get("/healthz")).status, 200);
  TestClient third(port());
  ASSERT_TRUE(third.send(get("/healthz")));
  first.reset();
  EXPECT_EQ(third.read_response().status, 200);
}

TEST_F(ServerHttp, EveryAnswerHasARequestId) {
  open();
  TestClient client(port());
  EXPECT_EQ(client.exchange(get("/healthz", "x-request-id: mine\r\n")).headers["x-request-id"],
            "mine");
  EXPECT_TRUE(client.exchange(get("/nowhere")).headers["x-request-id"].starts_with("req_"));
  EXPECT_TRUE(client.exchange(get("/healthz", "x-request-id: <script>\r\n"))
                  .headers["x-request-id"]
                  .starts_with("req_"));
  TestClient broken(port());
  EXPECT_TRUE(broken.exchange("nonsense\r\n\r\n").headers["x-request-id"].starts_with("req_"));
}

TEST_F(ServerHttp, LogsEachRequestOnce) {
  open();
  TestClient client(port());
  client.exchange(get("/healthz", "x-request-id: one\r\n"));
  client.exchange(post("/nowhere", "abc", "x-request-id: two\r\n"));
  const AccessRecord one = record(0), two = record(1);
  EXPECT_EQ(one.request_id, "one");
  EXPECT_EQ(one.method, "GET");
  EXPECT_EQ(one.path, "/healthz");
  EXPECT_EQ(one.status, 200);
  EXPECT_EQ(one.body_bytes, 16);
  EXPECT_TRUE(one.client.starts_with("127.0.0.1:")) << one.client;
  EXPECT_FALSE(one.speech);
  EXPECT_EQ(two.request_id, "two");
  EXPECT_EQ(two.status, 404);
  EXPECT_EQ(two.request_bytes, 3);
  EXPECT_NE(two.error.find("/nowhere"), std::string::npos);
}

TEST_F(ServerHttp, NotReadyUntilThereIsAService) {
  config.early_requests = EarlyRequests::kRefuse;
  open(false);
  TestClient client(port());
  EXPECT_EQ(client.exchange(get("/healthz")).status, 200);
  EXPECT_EQ(client.exchange(get("/")).status, 200);
  const WireResponse ready = client.exchange(get("/readyz"));
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(ready.body, "{\"status\":\"loading\",\"waiting\":0,\"steps\":[]}\n");
  EXPECT_EQ(ready.headers.at("retry-after"), "1");
  for (const char* path : {"/v1/models", "/api/voices", "/v1/audio/voices"}) {
    EXPECT_EQ(client.exchange(get(path)).status, 503) << path;
  }
  for (const char* path : {"/v1/audio/speech", "/v1/audio/speech/stream"}) {
    EXPECT_EQ(client.exchange(post(path, R"({"input": "hi"})")).status, 503) << path;
  }
  server->serve(speech.service());
  EXPECT_EQ(client.exchange(get("/readyz")).status, 200);
}

TEST_F(ServerHttp, StopClosesIdleConnectionsAndAcceptsNoMore) {
  open();
  TestClient idle(port());
  EXPECT_EQ(idle.exchange(get("/healthz")).status, 200);
  TestClient fresh(port());
  EXPECT_TRUE(server->stop(kPatience));
  EXPECT_EQ(idle.receive(), "");
  EXPECT_EQ(fresh.receive(), "");
  EXPECT_FALSE(TestClient(port()).connected());
  EXPECT_TRUE(server->stop(kPatience));
}

}  // namespace
}  // namespace lyre::server::test
