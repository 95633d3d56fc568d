// Who comes in: keys, addresses, pages of other origins; and what /metrics tells of them.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include "server/running_server.h"
#include "support/paths.h"

namespace lyre::server::test {
namespace {

class ServerGate : public RunningServer {
 protected:
  void open_with_key() {
    open();
    server->set_api_keys(*ApiKeys::parse("anna key-of-anna", "keys"));
  }
  WireResponse ask(const std::string& request) { return TestClient(port()).exchange(request); }
};

TEST_F(ServerGate, WithoutAKeyThereIs401AndTheBodyIsNotRead) {
  open_with_key();
  TestClient client(port());
  // The body never comes.
  ASSERT_TRUE(
      client.send("POST /v1/audio/speech HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n"));
  const WireResponse refused = client.read_response();
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.headers.at("www-authenticate"), "Bearer");
  EXPECT_NE(
      refused.body.find(R"("type":"invalid_request_error","param":null,"code":"invalid_api_key")"),
      std::string::npos)
      << refused.body;
  for (const char* path : {"/v1/models", "/v1/warmup", "/v1/profile", "/nothing"}) {
    EXPECT_EQ(ask(get(path)).status, 401) << path;
  }
}

TEST_F(ServerGate, EveryWayToSendAKey) {
  open_with_key();
  for (const char* header :
       {"Authorization: Bearer key-of-anna\r\n", "authorization: bearer key-of-anna\r\n",
        "Authorization: Api-Key key-of-anna\r\n", "xi-api-key: key-of-anna\r\n"}) {
    EXPECT_EQ(ask(get("/v1/models", header)).status, 200) << header;
  }
  for (const char* header :
       {"Authorization: Bearer key-of-ann\r\n", "Authorization: key-of-anna\r\n",
        "Authorization: Bearer \r\n", "Authorization: Basic key-of-anna\r\n", "xi-api-key: \r\n"}) {
    EXPECT_EQ(ask(get("/v1/models", header)).status, 401) << header;
  }
  EXPECT_EQ(record(0).key_name, "anna");
}

TEST_F(ServerGate, AKeyInTheQueryIsForWebSocketsAndInNoLog) {
  open_with_key();
  EXPECT_EQ(ask(get("/v1/models?api_key=key-of-anna")).status, 401);
  EXPECT_EQ(ask(get("/v1/models?a=b&api_key=key%2Dof-anna", "Upgrade: websocket\r\n")).status, 200);
  EXPECT_EQ(record(1).path, "/v1/models");
  EXPECT_EQ(record(1).key_name, "anna");
}

TEST_F(ServerGate, ProbesNeedNoKey) {
  open_with_key();
  for (const char* path : {"/", "/healthz", "/readyz", "/metrics"}) {
    EXPECT_EQ(ask(get(path)).status, 200) << path;
  }
}

TEST_F(ServerGate, MetricsMayNeedOne) {
  config.metrics_need_key = true;
  open_with_key();
  EXPECT_EQ(ask(get("/metrics")).status, 401);
  EXPECT_EQ(ask(get("/metrics", "Authorization: Bearer key-of-anna\r\n")).status, 200);
}

TEST_F(ServerGate, NewKeysTakeThePlaceOfTheOld) {
  open_with_key();
  server->set_api_keys(*ApiKeys::parse("another-key", "keys"));
  EXPECT_EQ(ask(get("/v1/models", "Authorization: Bearer key-of-anna\r\n")).status, 401);
  EXPECT_EQ(ask(get("/v1/models", "Authorization: Bearer another-key\r\n")).status, 200);
}

TEST_F(ServerGate, OnlyGivenOriginsMayRead) {
  config.cors_origins = {"https://a.example"};
  open_with_key();
  const WireResponse before =
      ask("OPTIONS /v1/audio/speech HTTP/1.1\r\nHost: test\r\nOrigin: https://a.example\r\n"
          "Access-Control-Request-Method: POST\r\n\r\n");
  EXPECT_EQ(before.status, 204);
  EXPECT_EQ(before.headers.at("access-control-allow-origin"), "https://a.example");
  EXPECT_NE(before.headers.at("access-control-allow-headers").find("Authorization"),
            std::string::npos);
  // Of an error, too: else the page could not tell why.
  const WireResponse refused = ask(get("/v1/models", "Origin: https://a.example\r\n"));
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.headers.at("access-control-allow-origin"), "https://a.example");
  const WireResponse other = ask(get("/", "Origin: https://b.example\r\n"));
  EXPECT_EQ(other.headers.count("access-control-allow-origin"), 0u);
  EXPECT_EQ(other.headers.at("vary"), "Origin");
}

TEST_F(ServerGate, WithoutOriginsThereIsNoWordOfThem) {
  open();
  EXPECT_EQ(ask(get("/", "Origin: https://a.example\r\n")).headers.count("vary"), 0u);
}

TEST_F(ServerGate, ATrustedProxyNamesTheClient) {
  config.trusted_proxies = {*AddressRange::parse("127.0.0.0/8")};
  open();
  ask(get("/",
          "X-Forwarded-For: 9.9.9.9\r\nUser-Agent: test/1\r\n"
          "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"));
  EXPECT_EQ(record(0).client, "9.9.9.9");
  EXPECT_EQ(record(0).user_agent, "test/1");
  EXPECT_EQ(record(0).trace_id, "0af7651916cd43dd8448eb211c80319c");
}

TEST_F(ServerGate, AnAddressHasItsShareOfConnections) {
  config.max_connections_of_an_address = 1;
  open();
  TestClient first(port());
  EXPECT_EQ(first.exchange(get("/healthz")).status, 200);
  TestClient second(port());
  EXPECT_EQ(second.receive_all(), "");
  EXPECT_EQ(first.exchange(get("/healthz")).status, 200);
  first.close();
  EXPECT_TRUE(eventually([&] { return ask(get("/healthz")).status == 200; }));
}

/// docs/metrics.md has each metric that is served in a row of its own, and no other.
TEST_F(ServerGate, MetricsAreThoseOfTheirPage) {
  open();
  TestClient client(port());
  ASSERT_TRUE(client.send(post("/v1/audio/speech", R"({"input":"Hi.","response_format":"pcm"})")));
  FakeSpeech::Call* call = speech.next();
  ASSERT_NE(call, nullptr);
  push_all(call->sink, counting_samples(0, 2400));
  call->sink.finish(summary());
  ASSERT_EQ(client.read_response().status, 200);
  ASSERT_EQ(ask(get("/nothing")).status, 404);
  record(1);
  std::set<std::string> served;
  const std::string text = ask(get("/metrics")).body;
  const std::regex type("# TYPE ([a-z_]+) ");
  for (std::sregex_iterator at(text.begin(), text.end(), type), end; at != end; ++at) {
    served.insert((*at)[1]);
  }
  EXPECT_NE(text.find("lyre_http_requests_total{route=\"/v1/audio/speech\",status=\"2xx\"} 1"),
            std::string::npos);
  EXPECT_NE(text.find("lyre_http_requests_total{route=\"none\",status=\"4xx\"} 1"),
            std::string::npos);
  EXPECT_NE(text.find("lyre_first_audio_seconds_count 1"), std::string::npos);

  std::ifstream file(lyre::test::source_dir() / "docs/metrics.md");
  const std::string page{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::set<std::string> told;
  const std::regex row("\\n\\| `([a-z_]+)` \\|");
  for (std::sregex_iterator at(page.begin(), page.end(), row), end; at != end; ++at) {
    told.insert((*at)[1]);
  }
  // Known only after a warm-up, or after a second request.
  for (const char* later : {"lyre_warmup_step_seconds", "lyre_warmup_first_request_seconds",
                            "lyre_steady_request_seconds"}) {
    EXPECT_EQ(told.count(later), 1u) << later;
    told.erase(later);
    served.erase(later);
  }
  EXPECT_EQ(served, told);
}

}  // namespace
}  // namespace lyre::server::test
