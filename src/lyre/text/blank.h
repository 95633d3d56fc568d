#pragma once

namespace lyre {

/// Unicode's White_Space.
bool is_white_space(char32_t c) noexcept;

/// White space, a control or an invisible format character: nothing that can be spoken.
bool is_blank_character(char32_t c) noexcept;

}  // namespace lyre
