// Command drop-capabilities is the policy of that name: it drops Linux capabilities from
// containers, adds others, and refuses containers that want more than they may.
package main
