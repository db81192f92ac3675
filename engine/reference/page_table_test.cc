// Copyright 2026 The Lockstep Authors
// SPDX-License-Identifier: Apache-2.0

#include "engine/reference/page_table.h"

#include "gtest/gtest.h"

namespace lockstep::reference {
namespace {

constexpr uint32_t kPte = kPtePresent | kPteWrite;

// Tables of 16 entries, none of them there yet.
class PageTableTest : public ::testing::Test {
 protected:
  PageTableTest() { machine_.Reset(Config()); }

  Machine machine_;
};

TEST_F(PageTableTest, AnEntryIsFoundWhereItWasSet) {
  SetPte(machine_, 0, Vpn{37}, kPte | 5);
  EXPECT_EQ(GetPte(machine_, 0, Vpn{37}), kPte | 5);
  EXPECT_EQ(GetPte(machine_, 0, Vpn{38}), 0u);
}

TEST_F(PageTableTest, AddressSpacesHaveTablesOfTheirOwn) {
  SetPte(machine_, 0, Vpn{37}, kPte | 5);
  EXPECT_EQ(GetPte(machine_, 1, Vpn{37}), 0u);
}

TEST_F(PageTableTest, ATableGoesWithItsLastEntry) {
  SetPte(machine_, 0, Vpn{37}, kPte | 5);
  SetPte(machine_, 0, Vpn{38}, kPte | 6);
  ClearPte(machine_, 0, Vpn{37});
  ASSERT_NE(FindTable(machine_, 0, Vpn{37}), nullptr);
  ClearPte(machine_, 0, Vpn{38});
  EXPECT_EQ(FindTable(machine_, 0, Vpn{37}), nullptr);
}

TEST_F(PageTableTest, ATableUsedAgainIsEmpty) {
  SetPte(machine_, 0, Vpn{37}, kPte | 5);
  ClearPte(machine_, 0, Vpn{37});
  SetPte(machine_, 0, Vpn{96}, kPte | 6);
  EXPECT_EQ(GetPte(machine_, 0, Vpn{101}), 0u);
}

TEST_F(PageTableTest, TheNextEntryMayBeInALaterTable) {
  SetPte(machine_, 0, Vpn{100}, kPte | 5);
  auto entry = NextEntry(machine_, 0, Vpn{3}, Vpn{200});
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->page, Vpn{100});
}

TEST_F(PageTableTest, TheNextEntryIsNotBelowTheStart) {
  SetPte(machine_, 0, Vpn{37}, kPte | 5);
  EXPECT_FALSE(NextEntry(machine_, 0, Vpn{38}, Vpn{200}).has_value());
}

TEST_F(PageTableTest, TheNextEntryIsBelowTheEnd) {
  SetPte(machine_, 0, Vpn{37}, kPte | 5);
  EXPECT_FALSE(NextEntry(machine_, 0, Vpn{32}, Vpn{37}).has_value());
}

TEST_F(PageTableTest, AHugePmdThatCoversTheStartIsTheNextEntry) {
  SetHugePmd(machine_, 0, Vpn{32}, kPte | 16);
  auto entry = NextEntry(machine_, 0, Vpn{40}, Vpn{200});
  ASSERT_TRUE(entry.has_value());
  EXPECT_TRUE(entry->huge);
  EXPECT_EQ(entry->page, Vpn{32});
}

TEST_F(PageTableTest, AHugePmdMapsEachOfItsPages) {
  SetHugePmd(machine_, 0, Vpn{32}, kPte | 16);
  Mapping mapping = Lookup(machine_, 0, Vpn{35});
  EXPECT_TRUE(mapping.huge);
  EXPECT_EQ(mapping.pfn, Pfn{19});
}

TEST_F(PageTableTest, ASwapEntryIsNotPresent) {
  SetPte(machine_, 0, Vpn{37}, kPteSwap);
  EXPECT_FALSE(Lookup(machine_, 0, Vpn{37}).present);
}

TEST_F(PageTableTest, ATableEndsAtAMultipleOfItsSpanOrAtTheEnd) {
  EXPECT_EQ(TableEnd(machine_, Vpn{37}, Vpn{200}), Vpn{48});
  EXPECT_EQ(TableEnd(machine_, Vpn{37}, Vpn{40}), Vpn{40});
}

}  // namespace
}  // namespace lockstep::reference
