#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <memory>

namespace lyre::server {

/// Lets the engine thread wake a coroutine. The coroutine and its io_context have one thread;
/// wake() is for any other. The memory of the message between them lies in here, so that a wake
/// allocates nothing: at most one message is under way, further wakes are merged into it.
class Wakeup : public std::enable_shared_from_this<Wakeup> {
 public:
  explicit Wakeup(boost::asio::io_context& context);

  /// Any thread.
  void wake() noexcept;
  /// The thread of the coroutine.
  void wake_here();
  /// Returns after a wake since the last return, at once if there was one already.
  boost::asio::awaitable<void> wait();

 private:
  struct Block {
    alignas(std::max_align_t) std::byte bytes[256];
  };
  template <class T>
  class BlockAllocator;

  boost::asio::io_context& context_;
  boost::asio::steady_timer never_;  // waited for, only ever cancelled
  bool woken_ = false;               // coroutine's thread
  std::atomic<bool> under_way_{false};
  Block message_, wait_;
};

}  // namespace lyre::server
