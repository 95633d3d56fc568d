#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "lyre/base/result.h"

namespace lyre::server {

/// Hands out the places in which requests are spoken. Who finds none free waits: requests of one
/// client in the order in which they came, clients in turn, so that one with a hundred requests
/// takes no more of the machine than one with a single request. Any thread.
class AdmissionQueue {
 public:
  struct Limits {
    int most_running = 16;
    int most_waiting = 64;             // more are refused
    int most_waiting_of_a_client = 0;  // 0: most_waiting
  };
  explicit AdmissionQueue(const Limits& limits);
  ~AdmissionQueue();

  /// A place, or one in the queue; its destructor gives it up.
  class Place {
   public:
    Place() = default;
    Place(Place&&) noexcept;
    Place& operator=(Place&&) noexcept;
    ~Place();
    bool granted() const noexcept;  // false as well for a default Place

   private:
    friend class AdmissionQueue;
    struct Ticket;
    explicit Place(std::shared_ptr<Ticket> ticket);
    std::shared_ptr<Ticket> ticket_;
  };
  /// client: the name of an API key, else the address. `wake` is called once, by any thread and
  /// perhaps at once, when the place is granted; it must be short, must not throw and must not come
  /// back here. kResourceExhausted: the queue is full.
  Result<Place> enter(const std::string& client, std::function<void()> wake);

  struct Load {
    int running = 0, waiting = 0;
    int64_t refused = 0;  // ever
  };
  Load load() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;  // places may outlive the queue
};

}  // namespace lyre::server
