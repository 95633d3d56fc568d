#include "lyre/server/text_session.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/fake_speech.h"

namespace lyre::server::test {
namespace {

/// A protocol of the test: what it is told is noted, its orders are what the test gave it.
struct Script {
  std::map<std::string, Orders> on;  // by message, or by event: "started 1", "ended 1", ...
  std::vector<std::string> told;

  void tell(const std::string& what, Orders& orders) {
    told.push_back(what);
    const auto found = on.find(what);
    if (found != on.end()) orders = std::exchange(found->second, {});
  }
};

TextProtocol scripted(const std::shared_ptr<Script>& script) {
  TextProtocol protocol;
  protocol.opened = [](Orders&) {};
  protocol.text = [script](std::string_view message, Orders& orders) {
    script->tell(std::string(message), orders);
  };
  protocol.idle = [script](Orders& orders) { script->tell("idle", orders); };
  protocol.started = [script](SpeechNumber speech, Orders& orders) {
    script->tell("started " + std::to_string(speech), orders);
  };
  protocol.audio = [](SpeechNumber speech, std::string_view audio, Orders& orders) {
    orders.push_back(SendBinary{std::to_string(speech) + " " + std::string(audio)});
    orders.push_back(SendText{"of " + std::to_string(speech)});
  };
  protocol.ended = [script](SpeechNumber speech, const SpeechSummary&, Orders& orders) {
    script->tell("ended " + std::to_string(speech), orders);
  };
  protocol.failed = [script](SpeechNumber speech, const Error& error, Orders& orders) {
    script->tell("failed " + std::to_string(speech) + ": " + error.message, orders);
  };
  return protocol;
}

class Session : public testing::Test {
 protected:
  void start(bool one_at_a_time = true) {
    TextProtocol protocol = scripted(script);
    protocol.one_at_a_time = one_at_a_time;
    protocol.most_speeches = 3;
    session = std::make_unique<TextSession>(std::move(protocol), host());
  }
  TextSessionHost host() {
    TextSessionHost host;
    host.service = [this] { return ready ? service : nullptr; };
    host.voice_aliases = [] { return std::make_shared<const VoiceAliases>(); };
    host.wake = [this] { ++wakes; };
    host.spoken = [this](const AccessRecord& record) { records.push_back(record); };
    host.most_waiting_bytes = 100;
    host.queue_wait = queue_wait;
    if (queue) {
      host.enter_queue = [this](std::function<void()> wake) {
        return queue->enter("client", std::move(wake));
      };
    }
    return host;
  }

  /// Gives orders as if a message of the client had brought the protocol to them.
  void order(Orders orders) {
    script->on["message"] = std::move(orders);
    session->receive_text("message");
  }
  void open(SpeechNumber number, const std::string& text = "Hi.", bool more = true) {
    OpenSpeech open;
    open.speech = number;
    open.request.text = text;
    open.request.more_text = more;
    open.format.encoding = AudioEncoding::kPcm16;
    order({open});
  }
  /// Everything that can be sent now, a line each.
  std::vector<std::string> sent() {
    std::vector<std::string> lines;
    while (const auto message = session->next()) {
      switch (message->kind) {
        case OutgoingMessage::Kind::kText:
          lines.push_back(message->bytes);
          break;
        case OutgoingMessage::Kind::kBinary:
          lines.push_back("binary " + std::to_string(message->bytes.size()));
          break;
        case OutgoingMessage::Kind::kClose:
          lines.push_back("close " + std::to_string(static_cast<int>(message->code)));
          break;
      }
    }
    return lines;
  }
  using Lines = std::vector<std::string>;

  FakeSpeech speech;
  std::shared_ptr<const SpeechService> service =
      std::make_shared<const SpeechService>(speech.service());
  bool ready = true;
  std::unique_ptr<AdmissionQueue> queue;
  std::chrono::milliseconds queue_wait{60'000};
  std::atomic<int> wakes{0};
  std::vector<AccessRecord> records;
  std::shared_ptr<Script> script = std::make_shared<Script>();
  std::unique_ptr<TextSession> session;
};

TEST_F(Session, TextGoesInAndAudioComesOut) {
  start();
  open(1, "Hel");
  order({AppendText{1, "lo."}, FlushText{1}});
  EXPECT_EQ(sent(), Lines());
  FakeSpeech::Call* call = speech.next();
  ASSERT_NE(call, nullptr);
  EXPECT_EQ(call->request.text, "Hel");
  EXPECT_EQ(call->following->text(), "lo.|");
  order({AppendText{1, " And"}, FinishText{1}});
  EXPECT_EQ(call->following->text(), "lo.| And.");
  const int before = wakes;
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
  EXPECT_GT(wakes, before);
  EXPECT_EQ(sent(), Lines({"binary 22", "of 1"}));
  call->sink.finish(summary());
  EXPECT_EQ(sent(), Lines());
  EXPECT_EQ(script->told.back(), "ended 1");
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].finish, "stop");
  EXPECT_EQ(records[0].voice, "ada");
  EXPECT_EQ(records[0].body_bytes, 20);
}

TEST_F(Session, TextOfASpeechThatWaitsIsKeptWithItsFlushes) {
  start();
  open(1);
  open(2, "A");
  order({AppendText{2, "b"}, FlushText{2}, FlushText{2}, AppendText{2, "c"}, FinishText{2}});
  sent();
  FakeSpeech::Call* first = speech.next();
  order({FinishText{1}});
  first->sink.finish(summary());
  EXPECT_EQ(sent(), Lines());
  FakeSpeech::Call* second = speech.next();
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->request.text, "A");
  EXPECT_EQ(second->following->text(), "b|c.");
}

TEST_F(Session, SpeechesMayBeSpokenAtTheSameTime) {
  start(false);
  open(1);
  open(2);
  sent();
  FakeSpeech::Call *first = speech.next(), *second = speech.next();
  ASSERT_TRUE(first != nullptr && second != nullptr);
  ASSERT_TRUE(push_all(first->sink, counting_samples(0, 20'000)));
  ASSERT_TRUE(push_all(second->sink, counting_samples(0, 20'000)));
  Lines audio = sent();
  std::erase_if(audio, [](const std::string& line) { return !line.starts_with("of "); });
  EXPECT_EQ(audio, Lines({"of 2", "of 1", "of 2", "of 1", "of 2", "of 1"}));
}

TEST_F(Session, ACancelledSpeechIsHeardOfNoMore) {
  start();
  open(1);
  open(2);
  sent();
  FakeSpeech::Call* call = speech.next();
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10'000)));
  EXPECT_EQ(session->next()->kind, OutgoingMessage::Kind::kBinary);
  // "of 1" waits to be sent, and more audio is in the channel.
  order({CancelSpeech{1}, SendText{"reply"}});
  EXPECT_TRUE(call->sink.closed());
  EXPECT_EQ(sent(), Lines({"reply"}));
  EXPECT_EQ(records.at(0).finish, "cancelled");
  EXPECT_NE(speech.next(), nullptr);  // the second has its turn
  order({AppendText{1, "x"}, FlushText{1}, FinishText{1}, CancelSpeech{1}, CancelSpeech{2}});
  EXPECT_EQ(records.size(), 2U);
}

TEST_F(Session, NoAudioIsTakenUntilItIsAskedFor) {
  start();
  open(1);
  sent();
  FakeSpeech::Call* call = speech.next();
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 20'000)));
  ASSERT_TRUE(session->next().has_value());
  EXPECT_EQ(call->sink.buffered(), 20'000U - 8192U);
  ASSERT_TRUE(session->next().has_value());  // "of 1"
  EXPECT_EQ(call->sink.buffered(), 20'000U - 8192U);
}

TEST_F(Session, AFailureIsTold) {
  start();
  open(1);
  sent();
  speech.next()->sink.finish(Error{ErrorCode::kInternal, "broken"});
  sent();
  EXPECT_EQ(script->told.back(), "failed 1: broken");
  speech.refusal = Error{ErrorCode::kResourceExhausted, "full"};
  open(2);
  sent();
  EXPECT_EQ(script->told.back(), "failed 2: full");
  ready = false;
  open(3);
  sent();
  EXPECT_TRUE(script->told.back().starts_with("failed 3: the server is not ready"));
  EXPECT_EQ(records.size(), 3U);
}

TEST_F(Session, WholeTextWithoutSpeechIsAFailureAndFollowingTextIsNot) {
  start();
  open(1, "Hi.", false);
  sent();
  speech.next()->sink.finish(summary());
  sent();
  EXPECT_TRUE(script->told.back().starts_with("failed 1"));
  open(2, "Hi.", true);
  sent();
  speech.next()->sink.finish(summary());
  sent();
  EXPECT_EQ(script->told.back(), "ended 2");
}

TEST_F(Session, TextIsLimited) {
  start();
  open(1);
  sent();
  order({AppendText{1, std::string(1001, 'x')}});
  EXPECT_EQ(script->told.back(), "failed 1: the text is too long");
  open(2, std::string(60, 'x'));
  open(3, std::string(60, 'x'));
  EXPECT_TRUE(script->told.back().starts_with("failed 3: more than 100 bytes"));
  order({AppendText{2, std::string(41, 'x')}});
  EXPECT_TRUE(script->told.back().starts_with("failed 2: more than 100 bytes"));
  for (SpeechNumber n = 4; n <= 7; ++n) open(n, "x");
  EXPECT_TRUE(script->told.back().starts_with("failed 7: a connection may have 3"));
}

TEST_F(Session, RepliesThatNobodyReadsCloseTheSocket) {
  start();
  order({SendText{std::string(60, 'x')}});
  EXPECT_FALSE(session->closed());
  order({SendText{std::string(60, 'x')}, SendText{"never"}});
  EXPECT_TRUE(session->closed());
  EXPECT_EQ(sent().back(), "close 1008");
}

TEST_F(Session, ACloseCancelsAndIsTheLast) {
  start();
  open(1);
  sent();
  FakeSpeech::Call* call = speech.next();
  order({SendText{"bye"}, CloseSocket{CloseCode::kNormal, ""}, SendText{"never"}});
  EXPECT_TRUE(call->sink.closed());
  EXPECT_EQ(sent(), Lines({"bye", "close 1000"}));
  session->receive_text("message");
  session->timed_out();
  EXPECT_EQ(sent(), Lines());
}

TEST_F(Session, TheReasonOfACloseIsCutBetweenCharacters) {
  start();
  order({CloseSocket{CloseCode::kInternal, std::string(122, 'x') + "\xc3\xa4"}});
  EXPECT_EQ(session->next()->bytes, std::string(122, 'x'));
}

TEST_F(Session, ASpeechWaitsForItsPlace) {
  queue = std::make_unique<AdmissionQueue>(AdmissionQueue::Limits{1, 1, 0});
  start(false);
  open(1);
  open(2);
  open(3);
  sent();
  EXPECT_TRUE(script->told.back().starts_with("failed 3"));  // the queue is full
  FakeSpeech::Call* first = speech.next();
  EXPECT_EQ(queue->load().waiting, 1);
  EXPECT_TRUE(session->busy());
  const int before = wakes;
  order({CancelSpeech{1}});
  EXPECT_TRUE(first->sink.closed());
  EXPECT_GT(wakes, before);
  sent();
  EXPECT_EQ(script->told.back(), "started 2");
  session.reset();
  EXPECT_EQ(queue->load().running, 0);
}

TEST_F(Session, TheWaitForAPlaceHasAnEnd) {
  queue = std::make_unique<AdmissionQueue>(AdmissionQueue::Limits{1, 2, 0});
  queue_wait = std::chrono::milliseconds(0);
  const auto other = queue->enter("other", [] {});
  ASSERT_TRUE(other.ok());
  start(false);
  EXPECT_FALSE(session->deadline());
  open(1);
  sent();
  EXPECT_TRUE(script->told.back().starts_with("failed 1")) << script->told.back();
  EXPECT_EQ(queue->load().waiting, 0);

  queue_wait = std::chrono::milliseconds(60'000);
  start(false);
  open(1);
  sent();
  EXPECT_EQ(queue->load().waiting, 1);
  EXPECT_TRUE(session->deadline().has_value());
}

TEST_F(Session, WhatIsMadeNeedsNoPlace) {
  queue = std::make_unique<AdmissionQueue>(AdmissionQueue::Limits{1, 0, 0});
  start();
  open(1, "All of it.", false);
  sent();
  FakeSpeech::Call* call = speech.next();
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 20'000)));
  ASSERT_TRUE(session->next());
  EXPECT_EQ(queue->load().running, 1);
  call->sink.finish(summary());
  // The second message of audio, a third is left: a slow client asks for no more for now.
  ASSERT_TRUE(session->next());
  ASSERT_TRUE(session->next());
  EXPECT_EQ(queue->load().running, 0);
  EXPECT_EQ(script->told.back(), "started 1");  // and not its end
}

TEST_F(Session, WithoutTextToSpeakThePlaceIsForOthers) {
  queue = std::make_unique<AdmissionQueue>(AdmissionQueue::Limits{1, 0, 0});
  start();
  open(1, "One.");
  sent();
  FakeSpeech::Call* call = speech.next();
  EXPECT_EQ(queue->load().running, 1);
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
  EXPECT_EQ(sent(), Lines({"binary 22", "of 1"}));
  EXPECT_EQ(queue->load().running, 1);  // not all of it is spoken yet
  call->following->idle = true;
  sent();
  EXPECT_EQ(queue->load().running, 0);
  EXPECT_FALSE(session->busy());

  order({AppendText{1, "Two."}, FlushText{1}, FlushText{1}});
  EXPECT_EQ(call->following->text(), "");
  EXPECT_TRUE(session->busy());
  call->following->idle = false;
  sent();
  EXPECT_EQ(queue->load().running, 1);
  EXPECT_EQ(call->following->text(), "Two.|");

  // Once it has begun to speak, a full queue does not end it.
  call->following->idle = true;
  sent();
  auto other = queue->enter("other", [] {});
  ASSERT_TRUE(other.ok());
  order({AppendText{1, "Three."}, FinishText{1}});
  EXPECT_EQ(sent(), Lines());
  EXPECT_EQ(call->following->text(), "Two.|Three..");
  EXPECT_TRUE(call->following->finished());
  call->sink.finish(summary());
  sent();
  EXPECT_EQ(script->told.back(), "ended 1");
}

TEST_F(Session, AStopLetsWhatIsSpokenEndAndDropsWhatWaits) {
  start();
  open(1);
  open(2);
  sent();
  FakeSpeech::Call* call = speech.next();
  session->finish_soon();
  EXPECT_TRUE(call->following->finished());
  EXPECT_EQ(sent(), Lines());
  open(4);  // too late
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
  call->sink.finish(summary());
  EXPECT_EQ(sent(), Lines({"binary 22", "of 1", "close 1001"}));
  EXPECT_EQ(script->told.back(), "ended 1");
}

TEST_F(Session, OnlyAClientThatIsWaitedForIsIdle) {
  start();
  EXPECT_FALSE(session->busy());
  open(1);
  EXPECT_TRUE(session->busy());
  sent();
  FakeSpeech::Call* call = speech.next();
  EXPECT_TRUE(session->busy());
  call->following->idle = true;
  EXPECT_FALSE(session->busy());
  script->on["idle"] = {SendText{"wake up"}};
  session->timed_out();
  EXPECT_EQ(sent(), Lines({"wake up", "close 1000"}));
}

TEST_F(Session, AClientThatLeavesCancels) {
  start();
  open(1);
  sent();
  FakeSpeech::Call* call = speech.next();
  session.reset();
  EXPECT_TRUE(call->sink.closed());
  EXPECT_EQ(records.at(0).finish, "disconnected");
}

TEST_F(Session, NoProtocolTakesBinary) {
  start();
  session->receive_binary();
  EXPECT_EQ(sent(), Lines({"close 1003"}));
}

}  // namespace
}  // namespace lyre::server::test
