#include "lyre/server/admission_queue.h"

#include <algorithm>
#include <atomic>
#include <list>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace lyre::server {

struct AdmissionQueue::Place::Ticket {
  std::shared_ptr<Shared> queue;
  std::string client;
  std::function<void()> wake;  // under the queue's mutex, taken out by the grant
  std::atomic<bool> granted{false};
};

struct AdmissionQueue::Shared {
  explicit Shared(const Limits& given) : limits(given) {}

  /// Gives the free place to whose turn it is. Under mutex, allocates nothing; returns what is to
  /// be called without.
  std::function<void()> grant_next() {
    if (turns.empty() || running >= limits.most_running) return {};
    const auto line = lines.find(turns.front());
    const auto ticket = std::move(line->second.front());
    line->second.pop_front();
    if (line->second.empty()) {
      lines.erase(line);
      turns.pop_front();
    } else {
      turns.splice(turns.end(), turns, turns.begin());
    }
    --waiting;
    return grant(*ticket);
  }

  std::function<void()> grant(Place::Ticket& ticket) {
    ++running;
    ticket.granted.store(true, std::memory_order_release);
    return std::exchange(ticket.wake, {});
  }

  const Limits limits;
  std::mutex mutex;
  // All under mutex. Nobody waits while a place is free.
  int running = 0, waiting = 0;
  int64_t refused = 0;
  std::unordered_map<std::string, std::list<std::shared_ptr<Place::Ticket>>> lines;  // by client
  std::list<std::string> turns;  // the clients of the lines, whose turn it is first
};

AdmissionQueue::AdmissionQueue(const Limits& limits) : shared_(std::make_shared<Shared>(limits)) {}
AdmissionQueue::~AdmissionQueue() = default;

Result<AdmissionQueue::Place> AdmissionQueue::enter(const std::string& client,
                                                    std::function<void()> wake) {
  Shared& queue = *shared_;
  auto ticket = std::make_shared<Place::Ticket>();
  ticket->queue = shared_;
  ticket->client = client;
  ticket->wake = std::move(wake);
  std::function<void()> wake_now;
  {
    const std::lock_guard lock(queue.mutex);
    const Limits& limits = queue.limits;
    if (queue.running < limits.most_running) {
      wake_now = queue.grant(*ticket);
    } else {
      const auto line = queue.lines.find(client);
      const size_t own = line == queue.lines.end() ? 0 : line->second.size();
      const int most_own = limits.most_waiting_of_a_client;
      if (queue.waiting >= limits.most_waiting) {
        ++queue.refused;
        return Error{
            ErrorCode::kResourceExhausted,
            "all places are taken and " + std::to_string(queue.waiting) + " requests wait already"};
      }
      if (most_own > 0 && own >= static_cast<size_t>(most_own)) {
        ++queue.refused;
        return Error{
            ErrorCode::kResourceExhausted,
            "all places are taken and " + std::to_string(own) + " requests of yours wait already"};
      }
      queue.lines[client].push_back(ticket);
      if (own == 0) queue.turns.push_back(client);
      ++queue.waiting;
    }
  }
  if (wake_now) wake_now();
  return Place(std::move(ticket));
}

AdmissionQueue::Load AdmissionQueue::load() const {
  const std::lock_guard lock(shared_->mutex);
  return {shared_->running, shared_->waiting, shared_->refused};
}

AdmissionQueue::Place::Place(std::shared_ptr<Ticket> ticket) : ticket_(std::move(ticket)) {}
AdmissionQueue::Place::Place(Place&&) noexcept = default;

AdmissionQueue::Place& AdmissionQueue::Place::operator=(Place&& other) noexcept {
  Place old(std::exchange(ticket_, std::move(other.ticket_)));  // given up behind the change
  return *this;
}

AdmissionQueue::Place::~Place() {
  if (!ticket_) return;
  Shared& queue = *ticket_->queue;
  std::function<void()> wake;
  {
    const std::lock_guard lock(queue.mutex);
    if (ticket_->granted.load(std::memory_order_relaxed)) {
      --queue.running;
      wake = queue.grant_next();
    } else {
      const auto line = queue.lines.find(ticket_->client);
      line->second.remove(ticket_);
      if (line->second.empty()) {
        queue.turns.remove(ticket_->client);
        queue.lines.erase(line);
      }
      --queue.waiting;
    }
  }
  if (wake) wake();
}

bool AdmissionQueue::Place::granted() const noexcept {
  return ticket_ && ticket_->granted.load(std::memory_order_acquire);
}

}  // namespace lyre::server
